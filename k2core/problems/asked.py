"""What a row asks: parted from a reference answer, and with what nobody could answer without."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

from k2core.problems.code_tests import signature
from k2core.problems.faults import RowError, shown
from schemas.chat import Message

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ROLES = {
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "function": "tool",
    "observation": "tool",
}


def split_reference(row: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """A row whose messages end with the user's; an assistant's at their end is the answer.

    Messages may stand a list deeper (`[[{...}]]`), be `{"from": "human", "value": ...}`, or have
    their texts in parts.

    Raises:
        RowError: a part is no text.
    """
    name = next((n for n in ("messages", "prompt") if isinstance(row.get(n), list)), None)
    if name is None:
        return row
    given = row[name]
    assert isinstance(given, list)
    if len(given) == 1 and isinstance(given[0], list):
        given = given[0]
    messages = [_as_message(message) for message in given]
    last = messages[-1] if messages else None
    if len(messages) < 2 or not isinstance(last, dict) or last.get("role") != "assistant":
        return {**row, name: messages}
    told: dict[str, JsonValue] = {}
    if row.get("answer") is None and last.get("content"):
        told["answer"] = last["content"]
    if row.get("calls") is None and last.get("tool_calls"):
        told["calls"] = last["tool_calls"]
    return {**row, name: messages[:-1], **told} if told or _has_answer(row) else row


def _has_answer(row: Mapping[str, JsonValue]) -> bool:
    return row.get("answer") is not None or row.get("calls") is not None


def _as_message(given: JsonValue) -> JsonValue:
    if not isinstance(given, dict):
        return given
    if {"from", "value"} <= given.keys():
        given = {"role": given["from"], "content": given["value"]}
    role, content = given.get("role"), given.get("content")
    if isinstance(role, str):
        given = {**given, "role": _ROLES.get(role, role)}
    return {**given, "content": _joined(content)} if isinstance(content, list) else given


def _joined(parts: list[JsonValue]) -> str:
    texts = list[str]()
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            raise RowError("messages", f"may hold texts alone, not {shown(part)}")
        texts.append(text)
    return "\n".join(texts)


def complete_prompt(
    messages: tuple[Message, ...], verifier: str, expected: Mapping[str, JsonValue]
) -> tuple[Message, ...]:
    """The messages with what is expected of an answer and they do not say.

    The choices of a multiple choice, and how the functions that are tested are called, or begin.
    """
    asked = "\n".join(message.content for message in messages)
    lacks: list[str] = []
    choices, names = expected.get("choices"), expected.get("entry_points")
    if verifier == "choice" and isinstance(choices, list):
        named = zip(_LETTERS, map(str, choices), strict=False)
        are_named = all(
            re.search(rf"\b{at}\W{{1,4}}{re.escape(said)}", asked) for at, said in named
        )
        listed = [f"{at}. {choice}" for at, choice in zip(_LETTERS, choices, strict=False)]
        lacks = [] if are_named else listed
    elif verifier == "python_function" and isinstance(names, list):
        solution = str(expected.get("solution") or "")
        unsaid = [n for n in map(str, names) if f"{n}(" not in asked and f"`{n}`" not in asked]
        stated = ", ".join(f"`{signature(solution, name)}`" for name in unsaid)
        lacks = [f"It is called {stated}."] if unsaid else []
        if (starter := expected.get("starter_code")) and str(starter) not in asked:
            lacks = [f"It begins with:\n```python\n{starter}\n```"]
    if not lacks:
        return messages
    last = messages[-1]
    content = last.content.rstrip() + "\n" + "\n".join(lacks)
    return (*messages[:-1], last.model_copy(update={"content": content}))
