"""Dialogues as JSON lines for other trainers, and a validator of anybody's.

A line is `{"messages": [...], "tools": [...]}` in the chat-completions form: what
`apply_chat_template` of K2's tokenizer takes. Call ids are `functions.NAME:IDX`, IDX counted over
the dialogue from 0 (Kimi-K2 repository, tool-call guidance).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from k2core.chat.schemas import Schema, read_schema
from k2core.chat.tokens import SPECIAL_TOKENS
from schemas.chat import Message, ToolSpec
from schemas.outside import NotJsonError, read_json

_ROLES = ("system", "user", "assistant", "tool")


def to_line(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """A dialogue in the chat-completions form."""
    return {
        "messages": [_plain(message) for message in messages],
        "tools": [tool.declaration() for tool in tools],
    }


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        plain |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return plain


def validate_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and what is wrong, for every fault of every line; empty lines pass."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            for fault in validate_line(line):
                yield number, fault


def validate_line(line: str) -> Iterator[str]:
    """Faults of one dialogue, each naming the message or tool."""
    try:
        row = read_json(line)
    except NotJsonError as error:
        yield f"not JSON: {error}"
        return
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list) or not messages:
        yield 'no "messages": a list of at least one message is wanted'
        return
    assert isinstance(row, dict)
    tools = dict(_tools(row.get("tools")))
    yield from (f"tools[{name}]: {schema.fault}" for name, schema in tools.items() if schema.fault)
    yield from _dialogue_faults(messages, tools)


def _tools(declared: JsonValue) -> Iterator[tuple[str, Schema]]:
    """Each declared tool's schema by its name, or by its place where it has none."""
    for position, tool in enumerate(declared if isinstance(declared, list) else ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str):
            yield f"#{position}", Schema({}, 'not {"type": "function", "function": {"name": ...}}')
            continue
        schema = read_schema(function.get("parameters") or {})
        if schema.fault:
            schema = schema._replace(fault=f"parameters are no JSON Schema: {schema.fault}")
        yield name, schema


class _Asked(NamedTuple):
    """A call that waits for its answer."""

    name: str
    faults: tuple[str, ...]
    """Breaches of the declaration, which an answer that states an error makes a lesson."""


def _dialogue_faults(messages: Sequence[JsonValue], tools: Mapping[str, Schema]) -> Iterator[str]:
    made, waiting = 0, dict[str, _Asked]()
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            yield f"{where}: role is not one of {', '.join(_ROLES)}"
            continue
        content = message.get("content") or ""
        if not isinstance(content, str):
            yield f"{where}: content is not text"
            content = ""
        elif stray := [token for token in SPECIAL_TOKENS if token in content]:
            yield f"{where}: special token {stray[0]} in the content"
        if message["role"] == "tool":
            yield from (f"{where}: {fault}" for fault in _answer_faults(message, waiting))
            continue
        if waiting:
            yield f"{where}: {', '.join(waiting)} not answered before it"
            waiting.clear()
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            yield f"{where}: tool_calls is no list"
            calls = []
        for call in calls:
            identity, function, faults = _read_call(call)
            name = str(function.get("name", ""))
            if not faults and identity != (due := f"functions.{name}:{made}"):
                faults = [f"call id {identity!r} should be {due!r}"]
            yield from (f"{where}: {fault}" for fault in faults)
            breaches = [] if faults else _breaches(function, tools)
            waiting[identity] = _Asked(name, tuple(f"{identity}: {b}" for b in breaches))
            made += 1
    if waiting:
        yield f"end: {', '.join(waiting)} not answered"


def _answer_faults(message: Mapping[str, JsonValue], waiting: dict[str, _Asked]) -> Iterator[str]:
    identity = str(message.get("tool_call_id"))
    if identity not in waiting:
        yield f"answers {identity}, which was not called or is answered already"
        return
    asked = waiting.pop(identity)
    if message.get("name") not in (None, asked.name):
        yield f"is from {message['name']}, not {asked.name}"
    if not _states_error(message.get("content")):
        yield from (f"answered as if right: {fault}" for fault in asked.faults)


def _states_error(content: object) -> bool:
    """Whether a result says that its call failed: `{"error": ...}`, or a text with that word."""
    return isinstance(content, str) and "error" in content.lower()


def _read_call(call: JsonValue) -> tuple[str, dict[str, JsonValue], list[str]]:
    """Id, function, and what is wrong with the call's form."""
    function = call.get("function") if isinstance(call, dict) else None
    named = isinstance(function, dict) and isinstance(function.get("name"), str)
    if isinstance(call, dict) and isinstance(function, dict) and named:
        return str(call.get("id")), function, []
    wanted = '{"id": ..., "function": {"name": ..., "arguments": ...}}'
    return str(call)[:40], {}, [f"a call is not {wanted}"]


def _breaches(function: Mapping[str, JsonValue], tools: Mapping[str, Schema]) -> Iterator[str]:
    """How a call breaks its tool's declaration."""
    arguments, name = function.get("arguments"), str(function["name"])
    try:
        given = read_json(arguments) if isinstance(arguments, str) else arguments
    except NotJsonError:
        yield "arguments are not JSON"
        return
    if name not in tools:
        yield "the tool is not declared"
        return
    yield from tools[name].find_breaches(given)
