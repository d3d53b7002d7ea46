"""An assistant's text back to a message, and the ids of a dialogue's calls."""

import re
from collections.abc import Sequence

from k2core.chat import tokens as t
from schemas.chat import Message, ToolCall

_CALL_ID = re.compile(r"functions\.([A-Za-z_][A-Za-z0-9_\-]*):([0-9]+)")


class ToolCallSyntaxError(ValueError):
    """A tool-call section that does not follow K2's format."""


def parse_assistant(text: str, next_index: int) -> Message:
    """Read what follows `<|im_assistant|>assistant<|im_middle|>`, with or without `<|im_end|>`.

    Args:
        text: what the model wrote.
        next_index: calls made in the dialogue so far; K2 counts over the whole dialogue.

    Raises:
        ToolCallSyntaxError: says which part of the section is wrong.
    """
    body = text.removesuffix(t.END)
    content, begin, section = body.partition(t.CALLS_BEGIN)
    if not begin:
        stray = [token for token in t.SPECIAL_TOKENS if token in body]
        if stray:
            raise ToolCallSyntaxError(f"{stray[0]} outside of a tool-call section")
        return Message(role="assistant", content=content)
    if not section.endswith(t.CALLS_END):
        raise ToolCallSyntaxError(f"the tool-call section does not end with {t.CALLS_END}")
    section = section.removesuffix(t.CALLS_END)
    calls: list[ToolCall] = []
    at = 0
    while at < len(section):
        call, at = _parse_call(section, at, next_index + len(calls))
        calls.append(call)
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


def _parse_call(section: str, at: int, index: int) -> tuple[ToolCall, int]:
    """The call that begins there, and where the next one does."""
    if not section.startswith(t.CALL_BEGIN, at):
        raise ToolCallSyntaxError(f"expected {t.CALL_BEGIN}, found {section[at : at + 30]!r}")
    begin, end = at + len(t.CALL_BEGIN), section.find(t.CALL_END, at)
    if end < 0:
        raise ToolCallSyntaxError(f"a call does not end with {t.CALL_END}")
    identity, separator, arguments = section[begin:end].partition(t.CALL_ARGUMENT)
    if not separator:
        raise ToolCallSyntaxError(f"a call has no {t.CALL_ARGUMENT}")
    match = _CALL_ID.fullmatch(identity)
    if match is None:
        raise ToolCallSyntaxError(f"call id {identity[:80]!r} is not functions.NAME:INDEX")
    if match[2] != str(index):  # as text: a model may write more digits than Python converts
        raise ToolCallSyntaxError(f"call id {identity[:80]} should have index {index}")
    stray = [token for token in t.SPECIAL_TOKENS if token in arguments]
    if stray:
        raise ToolCallSyntaxError(f"{stray[0]} inside a call's arguments")
    return ToolCall(id=identity, name=match[1], arguments=arguments), end + len(t.CALL_END)
