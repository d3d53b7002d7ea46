"""K2's chat format (Kimi-K2 repository, tool-call guidance): messages to text, piece by piece."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k2core.chat import tokens as t
from schemas.chat import Message, ToolSpec


class TextRun(NamedTuple):
    """A run of text that is tokenized by itself."""

    text: str
    special: bool
    """One special token; plain text that spells a special token is not one."""
    learned: bool
    """Written by the assistant: what SFT and RL train on."""


def pieces(
    messages: Sequence[Message], tools: Sequence[ToolSpec], *, add_generation_prompt: bool = False
) -> Iterator[TextRun]:
    """A dialogue as pieces; special tokens stand alone."""
    if tools:
        declared = json.dumps(
            [tool.declaration() for tool in tools], separators=(",", ":"), ensure_ascii=False
        )
        yield from _block(t.SYSTEM, "tool_declare", declared)
    for message in messages:
        if message.role == "assistant":
            yield from _assistant(message)
        elif message.role == "tool":
            returned = f"## Return of {message.tool_call_id}\n{message.content}"
            yield from _block(t.SYSTEM, message.name or "tool", returned)
        else:
            opening = t.USER if message.role == "user" else t.SYSTEM
            yield from _block(opening, message.role, message.content)
    if add_generation_prompt:
        yield from _header(t.ASSISTANT, "assistant")


def render(
    messages: Sequence[Message],
    tools: Sequence[ToolSpec] = (),
    *,
    add_generation_prompt: bool = False,
) -> str:
    """The dialogue as text: what `CHAT_TEMPLATE` writes, without its guards."""
    parts = pieces(messages, tools, add_generation_prompt=add_generation_prompt)
    return "".join(piece.text for piece in parts)


def _header(opening: str, name: str) -> Iterator[TextRun]:
    yield TextRun(opening, special=True, learned=False)
    yield TextRun(name, special=False, learned=False)
    yield TextRun(t.MIDDLE, special=True, learned=False)


def _block(opening: str, name: str, text: str) -> Iterator[TextRun]:
    yield from _header(opening, name)
    yield TextRun(text, special=False, learned=False)
    yield TextRun(t.END, special=True, learned=False)


def _assistant(message: Message) -> Iterator[TextRun]:
    yield from _header(t.ASSISTANT, "assistant")
    if message.content:
        yield TextRun(message.content, special=False, learned=True)
    if message.tool_calls:
        yield TextRun(t.CALLS_BEGIN, special=True, learned=True)
        for call in message.tool_calls:
            yield TextRun(t.CALL_BEGIN, special=True, learned=True)
            yield TextRun(call.id, special=False, learned=True)
            yield TextRun(t.CALL_ARGUMENT, special=True, learned=True)
            yield TextRun(call.arguments, special=False, learned=True)
            yield TextRun(t.CALL_END, special=True, learned=True)
        yield TextRun(t.CALLS_END, special=True, learned=True)
    yield TextRun(t.END, special=True, learned=True)
