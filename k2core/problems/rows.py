"""A row of somebody's file as a problem, or what is wrong with it."""

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import JsonValue, TypeAdapter, ValidationError

from k2core.environments import CALLED
from k2core.problems.asked import complete_prompt, split_reference
from k2core.problems.declared import first_fault, from_json, read_tools, without_nulls
from k2core.problems.faults import RowError, shown
from k2core.problems.layouts import read_layout
from schemas.chat import Message, Problem, ToolSpec
from schemas.problems import FileSource

Split = Literal["train", "validation", "held_out"]
OWN_CODE = "own_code"
"""The verifier that runs a function of somebody's own."""
_MEANT = {"prompt", "messages", "answer", "expected", "verifier", "tools", "environment", "state"}
_ASKED = frozenset(("prompt", "messages"))
_FIELDS = frozenset(_MEANT | {"id", "split", "max_tokens", "max_turns"})
_LONGEST_ID = 100
_SPLITS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "held_out": "held_out",
    "test": "held_out",
}
_MESSAGES = TypeAdapter(tuple[Message, ...])


class OwnProblem(NamedTuple):
    """A problem of somebody's own, before it has its place."""

    problem: Problem
    """Its `problem_id` is the row's id alone."""
    key: str
    """What it asks, however it is typed: equal keys lie in one split."""
    split: Split | None
    """As the row states it."""
    row: int = 0
    """Its number in the file."""


def read_row(
    row: Mapping[str, JsonValue], source: FileSource, tools: tuple[ToolSpec, ...] = ()
) -> OwnProblem:
    """One row.

    Args:
        row: as it was read.
        source: what it says of rows that say less.
        tools: of the source's server.

    Raises:
        RowError: it makes no problem.
    """
    row = split_reference(rename_fields(row, source.fields))
    messages = read_messages(row, source.system)
    environment, state = _text(row, "environment") or "none", _object(row, "state")
    tools = read_tools(row.get("tools")) or tools
    verifier, expected = _expected(row, source, messages[-1].content)
    messages = complete_prompt(messages, verifier, expected)
    key = key_of(messages)
    if source.server:
        environment, state = "mcp", {"server": source.server.model_dump(mode="json")}
    elif verifier == "function_calls" and environment == "none":
        environment = CALLED
    problem = Problem(
        problem_id=_identity(row.get("id"), key),
        family=source.name,
        group=source.group,
        messages=messages,
        tools=tools,
        environment=environment,
        state=state,
        verifier=verifier,
        expected=expected,
        max_turns=_count(row, "max_turns", source.max_turns + 4 * bool(tools)),
        max_tokens=_count(row, "max_tokens", source.max_tokens),
    )
    return OwnProblem(problem, key, _split(row))


def rename_fields(
    row: Mapping[str, JsonValue], names: Mapping[str, str]
) -> Mapping[str, JsonValue]:
    """A row with the fields of a problem, of one whose file calls them otherwise.

    Args:
        row: as it was read.
        names: a problem's field -> the file's; `a.b` lies within `a`, unless one is so called, and
            `a.0` is the first of a list; what lies in JSON in a text is found as well.
    """
    left = {name: value for name, value in row.items() if name not in names.values()}
    if (asked := _ASKED & names.keys()) and len(asked) == 1:  # not by the other field then
        left = {name: value for name, value in left.items() if name not in _ASKED}
    found = {name: _within(row, path) for name, path in names.items()}
    return left | {name: value for name, value in found.items() if value is not None}


def _within(row: Mapping[str, JsonValue], path: str) -> JsonValue:
    if path in row:
        return row[path]
    found: JsonValue = dict(row)
    for name in path.split("."):
        found = from_json(found)
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict):
            found = found.get(name)
        else:
            return None
    return found


def key_of(messages: tuple[Message, ...]) -> str:
    """What the messages ask, without how it is typed."""
    texts = [f"{message.role} {message.content}" for message in messages]
    return " ".join(unicodedata.normalize("NFKC", "\n".join(texts)).casefold().split())


def read_messages(row: Mapping[str, JsonValue], system: str) -> tuple[Message, ...]:
    """What a row asks, after the system message if it has none of its own.

    Raises:
        RowError: it asks nothing that a model could be asked.
    """
    prompt, given = row.get("prompt"), row.get("messages")
    if isinstance(prompt, list) and given is None:
        prompt, given = None, prompt
    if (prompt is None) == (given is None):
        wanted = "give either prompt, a text, or messages, a list"
        if prompt is None:
            names = ", ".join(map(repr, list(row)[:8])) or "nothing"
            wanted += f"; the row has {names}: the source's fields may say which is the prompt"
        raise RowError("prompt", wanted)
    if given is None:
        if not isinstance(prompt, str) or not prompt.strip():
            raise RowError("prompt", "must be a text that is not empty")
        messages: tuple[Message, ...] = (Message(role="user", content=prompt),)
    else:
        listed = given if isinstance(given, list) else []
        if any(
            isinstance(m, dict) and (m.get("role") == "tool" or m.get("tool_calls")) for m in listed
        ):
            raise RowError("messages", "must be of system, user and assistant, without calls")
        try:
            messages = _MESSAGES.validate_python(without_nulls(given))
        except ValidationError as error:
            raise RowError("messages", first_fault(error)) from None
        if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
            raise RowError("messages", "must end with what a user says")
    if system and messages[0].role != "system":
        messages = (Message(role="system", content=system), *messages)
    return messages


def _expected(
    row: Mapping[str, JsonValue], source: FileSource, asked: str
) -> tuple[str, dict[str, JsonValue]]:
    """The verifier, and what it holds an answer against: whatever the row has beside the rest."""
    others = {key: value for key, value in row.items() if key not in _FIELDS}
    found = others | _object(row, "expected")
    if row.get("answer") is not None:
        found = {"answer": row["answer"]} | found
    named = _text(row, "verifier") or source.verifier
    if ":" not in named:
        return read_layout(named, found, asked)
    if source.code is None or named != source.verifier:
        raise RowError("verifier", f"{named!r}: name a function in the source's verifier, not here")
    code: JsonValue = source.code.model_dump()
    return OWN_CODE, {"code": code, "seconds": source.code_seconds, "row": found}


def _identity(given: JsonValue, key: str) -> str:
    if given is None:
        return hashlib.sha256(key.encode()).hexdigest()[:12]
    if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        raise RowError("id", "must be a text or a whole number")
    text = str(given)
    if len(text) <= _LONGEST_ID:
        return text
    return f"{text[: _LONGEST_ID - 13]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _split(row: Mapping[str, JsonValue]) -> Split | None:
    named = _text(row, "split").lower()
    if named and named not in _SPLITS:
        raise RowError("split", f"{named[:40]!r} is none of {', '.join(_SPLITS)}")
    return _SPLITS[named] if named else None


def _text(row: Mapping[str, JsonValue], field: str) -> str:
    value = row.get(field)
    if value is not None and not isinstance(value, str):
        raise RowError(field, f"must be a text, not {shown(value)}")
    return value or ""


def _object(row: Mapping[str, JsonValue], field: str) -> dict[str, JsonValue]:
    value = row.get(field)
    if value is not None and not isinstance(value, dict):
        raise RowError(field, f"must be an object, not {shown(value)}")
    return value or {}


def _count(row: Mapping[str, JsonValue], field: str, default: int) -> int:
    value = row.get(field)
    if value is None:
        return default
    if isinstance(value, str) and value.isdecimal():  # as tables have it
        value = int(value)
    if type(value) is not int or value < 1:
        raise RowError(field, f"must be a whole number from 1 on, not {shown(value)}")
    return value
