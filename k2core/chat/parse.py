"""An assistant's turn back to a message, and the ids of a dialogue's calls."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from k2core.chat import tokens as t
from schemas.chat import Message, ToolCall

_CALL_ID = re.compile(r"functions\.([A-Za-z_][A-Za-z0-9_\-]*):([0-9]+)")


class ToolCallSyntaxError(ValueError):
    """A tool-call section that does not follow K2's format."""


class TokenSpan(NamedTuple):
    """A special token, or the text between two of them, as a model wrote it."""

    text: str
    special: bool


_CLOSED = TokenSpan(t.CALLS_END, special=True)


def parse_spans(spans: Sequence[TokenSpan], next_index: int) -> Message:
    """Read an assistant's turn; what plain text spells is text, whatever it spells.

    Args:
        spans: what follows `<|im_assistant|>assistant<|im_middle|>`, without what closes the turn.
        next_index: calls made in the dialogue so far; K2 counts over the whole dialogue.

    Raises:
        ToolCallSyntaxError: says which part of the section is wrong.
    """
    left = list(reversed(spans))
    content = left.pop().text if left and not left[-1].special else ""
    if not left:
        return Message(role="assistant", content=content)
    if left[-1].text != t.CALLS_BEGIN:
        raise ToolCallSyntaxError(f"{left[-1].text} outside of a tool-call section")
    left.pop()
    calls: list[ToolCall] = []
    while left and left[-1] != _CLOSED:
        calls.append(_parse_call(left, next_index + len(calls)))
    if not left:
        raise ToolCallSyntaxError(f"the tool-call section does not end with {t.CALLS_END}")
    if len(left) > 1:
        raise ToolCallSyntaxError(f"{left[-2].text[:30]!r} after the tool-call section")
    if not calls:
        raise ToolCallSyntaxError("the tool-call section is empty")
    return Message(role="assistant", content=content, tool_calls=tuple(calls))


def validate_dialogue(messages: Sequence[Message]) -> None:
    """Check call ids (counted over the dialogue from 0) and that each result answers a call.

    Raises:
        ToolCallSyntaxError: names the message by its position.
    """
    made = 0
    open_calls: dict[str, str] = {}
    for position, message in enumerate(messages):
        for call in message.tool_calls:
            expected = f"functions.{call.name}:{made}"
            if call.id != expected:
                raise ToolCallSyntaxError(f"message {position}: id {call.id}, not {expected}")
            open_calls[call.id] = call.name
            made += 1
        if message.role == "tool":
            name = open_calls.pop(message.tool_call_id or "", None)
            if name is None:
                raise ToolCallSyntaxError(
                    f"message {position} answers {message.tool_call_id}, which was not called "
                    "or is answered already"
                )
            if message.name != name:
                raise ToolCallSyntaxError(f"message {position} is from {message.name}, not {name}")


def _parse_call(left: list[TokenSpan], index: int) -> ToolCall:
    """Take the next call from spans in reverse."""
    _take(left, t.CALL_BEGIN)
    identity = _take_text(left)
    match = _CALL_ID.fullmatch(identity)
    if match is None:
        raise ToolCallSyntaxError(f"call id {identity[:80]!r} is not functions.NAME:INDEX")
    if match[2] != str(index):  # as text: a model may write more digits than Python converts
        raise ToolCallSyntaxError(f"call id {identity[:80]} should have index {index}")
    _take(left, t.CALL_ARGUMENT)
    arguments = _take_text(left)
    _take(left, t.CALL_END)
    return ToolCall(id=identity, name=match[1], arguments=arguments)


def _take(left: list[TokenSpan], token: str) -> None:
    if not left:
        raise ToolCallSyntaxError(f"expected {token}, found the end")
    found = left.pop()
    if found != TokenSpan(token, special=True):
        raise ToolCallSyntaxError(f"expected {token}, found {found.text[:30]!r}")


def _take_text(left: list[TokenSpan]) -> str:
    return left.pop().text if left and not left[-1].special else ""
