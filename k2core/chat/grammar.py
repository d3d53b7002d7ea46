"""K2's enforcer: what a turn may be, as a grammar that constrains decoding token by token.

The grammar is llguidance's Lark, where `<|...|>` is the special token alone: text that spells one
stays text, in arguments too, and no other special token can be sampled. Ids count on over the
dialogue, and arguments follow their tool's JSON Schema, written as compactly as in training.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from pydantic import JsonValue

from k2core.chat import tokens as t

Calls = Literal["auto", "required", "none"]
"""Whether a turn may, must or must not call."""

_COMBINED = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "$ref", "patternProperties"})
_ANY_OBJECT = '{"type":"object","x-guidance":{"whitespace_flexible":false}}'


def turn_grammar(
    tools: Mapping[str, JsonValue],
    next_index: int,
    calls: Calls = "auto",
    most_calls: int = 8,
    output: str = "",
) -> str:
    """The grammar of an assistant's turn.

    Args:
        tools: name -> JSON Schema of the arguments, of every tool that may be called.
        next_index: calls made in the dialogue so far.
        calls: a turn that must call has no text beside it.
        most_calls: calls in one turn at most.
        output: what a turn without calls must be, as the right side of a Lark rule.
    """
    text = [] if output else ["TEXT: /(.|\\n)+/"]
    if calls == "none" or not tools:
        return _lines(f"start: {output or 'TEXT?'}", *text)
    start = {"auto": f"{output} | calls" if output else "TEXT? calls?", "required": "calls"}
    rules = [f"start: {start[calls]}"]
    rules += text if calls == "auto" else []
    rules.append(f"calls: {t.CALLS_BEGIN} call_0 {t.CALLS_END}")
    for place in range(most_calls):
        more = f" call_{place + 1}?" if place + 1 < most_calls else ""
        headed = " | ".join(
            f"{json.dumps(f'functions.{name}:{next_index + place}', ensure_ascii=False)} "
            f"{t.CALL_ARGUMENT} arguments_{number}"
            for number, name in enumerate(tools)
        )
        rules.append(f"call_{place}: {t.CALL_BEGIN} ({headed}) {t.CALL_END}{more}")
    rules += [
        f"arguments_{number}: %json {_as_constraint(json.dumps(schema))}"
        for number, schema in enumerate(tools.values())
    ]
    return _lines(*rules)


def json_output(schema: JsonValue) -> str:
    """The right side of a rule for a turn that is JSON of this schema."""
    return f"%json {json.dumps(_with_options(schema, lenient=False))}"


def _lines(*rules: str) -> str:
    return "".join(f"{rule}\n" for rule in rules)


@lru_cache(4096)
def _as_constraint(schema: str) -> str:
    """The schema as the engine takes it; what it cannot hold to is left out, not refused."""
    given = json.loads(schema)
    declared = given if isinstance(given, dict) else {}
    closed = _close({"type": "object", **declared})
    for lenient in (False, True):
        constraint = json.dumps(_with_options(closed, lenient=lenient))
        if not _fault(constraint):
            return constraint
    return _ANY_OBJECT


def _fault(constraint: str) -> str:
    from llguidance import LLMatcher

    return str(LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(constraint)))


def _with_options(schema: JsonValue, *, lenient: bool) -> JsonValue:
    options: dict[str, JsonValue] = {"whitespace_flexible": False, "lenient": lenient}
    return {**schema, "x-guidance": options} if isinstance(schema, dict) else schema


def _close(schema: JsonValue) -> JsonValue:
    """No properties beyond those named, where the schema leaves it open."""
    if not isinstance(schema, dict) or _COMBINED & schema.keys():
        return schema
    closed = dict(schema)
    if isinstance(named := schema.get("properties"), dict):
        closed["properties"] = {name: _close(inner) for name, inner in named.items()}
        closed.setdefault("additionalProperties", False)
    if "items" in closed:
        closed["items"] = _close(closed["items"])
    return closed
