"""Calls judged by what they say, for tools that nobody can execute here."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, Verdict
from schemas.chat import Problem
from schemas.outside import NotJsonError, read_json

_MOST = 64
_LOOSE = re.compile(r"[ ,./\-_*^]")


class _Made(NamedTuple):
    """A call as it was made."""

    name: str
    arguments: Mapping[str, JsonValue]


class _Wanted(NamedTuple):
    """A call that is expected."""

    name: str
    arguments: Mapping[str, JsonValue]
    any_of: Mapping[str, Sequence[JsonValue]] | None
    """Argument -> the values that will do; None where `arguments` says the one."""


def check_function_calls(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"calls": [{"name": ..., "arguments": {...}}]}`: just these were made, in whatever order.

    Numbers are equal by value, an argument that equals its declared default may be left out. With
    `any_of` in place of `arguments` any of its values will do, texts by the Berkeley leaderboard's
    loose equality, and one whose values hold `""` may be left out. No calls expected: none made.
    """
    wanted = _read_wanted(problem.expected["calls"])
    said = [call for m in outcome.messages[len(problem.messages) :] for call in m.tool_calls]
    if len(said) != len(wanted):
        return Verdict(0.0, "no_call" if not said else "wrong_number_of_calls")
    made = list[_Made]()
    for call in said[:_MOST]:
        try:
            arguments = read_json(call.arguments)
        except NotJsonError:
            return Verdict(0.0, "arguments_no_json")
        if not isinstance(arguments, dict):
            return Verdict(0.0, "arguments_no_object")
        made.append(_Made(call.name, arguments))
    if sorted(call.name for call in made) != sorted(one.name for one in wanted):
        return Verdict(0.0, "wrong_function")
    defaults = {tool.name: _defaults(tool.parameters) for tool in problem.tools}
    fits = [[_fits(one, call, defaults.get(call.name, {})) for call in made] for one in wanted]
    return Verdict(1.0) if _matched(fits) else Verdict(0.0, "wrong_arguments")


def _read_wanted(given: JsonValue) -> list[_Wanted]:
    if not isinstance(given, list):
        raise TypeError(f"calls must be a list of calls, not {given!r}")
    wanted = list[_Wanted]()
    for call in given:
        name = call.get("name") if isinstance(call, dict) else None
        stated = call.get("arguments", call.get("any_of")) if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(name, str) or not isinstance(stated, dict):
            raise TypeError(f"a call must have name and arguments, an object: {call!r}")
        allowed = {k: v if isinstance(v, list) else [v] for k, v in stated.items()}
        loose = "arguments" not in call
        wanted.append(_Wanted(name, {} if loose else stated, allowed if loose else None))
    return wanted


def _defaults(parameters: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    properties = parameters.get("properties")
    found = properties.items() if isinstance(properties, dict) else ()
    return {k: v["default"] for k, v in found if isinstance(v, dict) and "default" in v}


def _fits(wanted: _Wanted, made: _Made, defaults: Mapping[str, JsonValue]) -> bool:
    if wanted.name != made.name:
        return False
    if (allowed := wanted.any_of) is not None:
        return made.arguments.keys() <= allowed.keys() and all(
            _loosely(made.arguments[name], values) if name in made.arguments else "" in values
            for name, values in allowed.items()
        )
    # Neither side need state what is the default anyway.
    names = wanted.arguments.keys() | made.arguments.keys()
    filled = {name: value for name, value in defaults.items() if name in names}
    return _text({**filled, **wanted.arguments}) == _text({**filled, **made.arguments})


def _loosely(value: JsonValue, allowed: Sequence[JsonValue]) -> bool:
    return any(_text(_loose(value)) == _text(_loose(one)) or _nested(value, one) for one in allowed)


def _nested(value: JsonValue, allowed: JsonValue) -> bool:
    """Of an object the leaderboard states the values of each key, too."""
    if isinstance(value, list) and isinstance(allowed, list) and len(value) == len(allowed):
        return bool(value) and all(map(_nested, value, allowed))
    if not isinstance(value, dict) or not isinstance(allowed, dict):
        return False
    return value.keys() <= allowed.keys() and all(
        isinstance(values, list)
        and (_loosely(value[name], values) if name in value else "" in values)
        for name, values in allowed.items()
    )


def _loose(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _LOOSE.sub("", value).lower().replace("'", '"')
    return [_loose(part) for part in value] if isinstance(value, list) else value


def _text(value: JsonValue) -> str:
    """As text, where 5 and 5.0 are equal, and 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _matched(fits: Sequence[Sequence[bool]]) -> bool:
    """Whether each expected call has a call of its own (Kuhn's augmenting paths)."""
    owner: dict[int, int] = {}

    def place(one: int, seen: set[int]) -> bool:
        for made, fit in enumerate(fits[one]):
            if fit and made not in seen:
                seen.add(made)
                if made not in owner or place(owner[made], seen):
                    owner[made] = one
                    return True
        return False

    return all(place(one, set()) for one in range(len(fits)))
