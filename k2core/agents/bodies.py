"""What an endpoint sends: whole, bounded and in the chat-completions form, or an error."""

import json
import time
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import BaseModel, Field, JsonValue, ValidationError

from schemas.chat import Message, ToolCall
from schemas.outside import NotJsonError, make_encodable, read_json

_MOST_CHARACTERS = 128
"""The longest token of any vocabulary in use, about: no honest answer has more a token."""
_CHARACTERS = 4
"""A token's, about, where a server does not count them."""
_MOST_TOKENS = 10**9
"""Of an answer: no server that counts more can count."""


class BrokenBodyError(ValueError):
    """An answer that is no chat completion: the server's failure, worth asking again."""


class _NoCallError(ValueError):
    """A call of no function, or of no possible name."""


class AgentTurn(NamedTuple):
    """What a model said, and the tokens that it took."""

    message: Message
    num_tokens: int
    finished: bool
    """Whether it ended by itself, not by the limit of tokens."""
    malformed: bool = False
    """Whether it calls what is no tool; the message is without its calls."""


class _Function(BaseModel):
    name: str
    arguments: object = None


class _Call(BaseModel):
    id: object = None
    function: _Function | None = None


class _Part(BaseModel):
    text: str = ""


class _Said(BaseModel):
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: object = None


class _Usage(BaseModel):
    completion_tokens: int = Field(ge=0, le=_MOST_TOKENS)


class _Body(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: object = None


def collect(chunks: Iterable[bytes], max_bytes: int, deadline: float) -> str:
    """A body's text, read as far as the bounds allow.

    Args:
        chunks: the body.
        max_bytes: most that is read.
        deadline: until when, by `time.monotonic`: a server may send a byte a minute.

    Raises:
        BrokenBodyError: it is larger, or takes longer.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise BrokenBodyError(f"its answer has more than {max_bytes:,} bytes")
        if time.monotonic() > deadline:
            raise BrokenBodyError("its answer did not end in time")
    return body.decode(errors="replace")


def read_turn(body: str, num_made: int, max_tokens: int) -> AgentTurn:
    """The assistant message of a chat completion.

    Args:
        body: what the server sent.
        num_made: calls made in the dialogue so far, from which ids are counted on, as K2 does.
        max_tokens: what was allowed; an answer that cannot be so short counts as cut off there.

    Raises:
        BrokenBodyError: it is no chat completion; says what it is.
    """
    answer = _read_body(body)
    choice = answer.choices[0]
    content = _text(choice.message)
    calls = choice.message.tool_calls or []
    size = _size(choice.message)
    num_tokens = _count_tokens(answer.usage, size)
    if size > max_tokens * _MOST_CHARACTERS:
        clipped = content[: max_tokens * _MOST_CHARACTERS]
        return AgentTurn(Message(role="assistant", content=clipped), max_tokens, finished=False)
    finished = choice.finish_reason != "length"
    try:
        made = [_read_call(call, num_made + index) for index, call in enumerate(calls)]
    except _NoCallError:
        return AgentTurn(
            Message(role="assistant", content=content), num_tokens, finished, malformed=True
        )
    said = Message(role="assistant", content=content, tool_calls=tuple(made))
    return AgentTurn(said, num_tokens, finished)


def plain_completion(body: str) -> dict[str, JsonValue]:
    """A chat completion in the form that every client reads: what is said, and nothing odd.

    Content in parts is one text, arguments are text, counts are counts, strings are encodable;
    calls of no function are left out, as are choices after the first.

    Raises:
        BrokenBodyError: as of `read_turn`.
    """
    answer = _read_body(body)
    said, ended = answer.choices[0].message, answer.choices[0].finish_reason
    calls: list[JsonValue] = [
        {
            "id": call.id if isinstance(call.id, str) else f"call_{place}",
            "type": "function",
            "function": {"name": call.function.name, "arguments": _arguments(call.function)},
        }
        for place, call in enumerate(said.tool_calls or ())
        if call.function
    ]
    message: dict[str, JsonValue] = {"role": "assistant", "content": _text(said)}
    if calls:
        message["tool_calls"] = calls
    counted = _count_tokens(answer.usage, _size(said))
    return {
        "id": "answer",
        "object": "chat.completion",
        "created": 0,
        "model": "",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": ended if isinstance(ended, str) else "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": counted, "total_tokens": counted},
    }


def _text(said: _Said) -> str:
    content = said.content or ""
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _read_body(body: str) -> _Body:
    try:
        found = read_json(body)
    except NotJsonError as error:
        raise BrokenBodyError(f"its answer is no JSON ({error}): {body[:80]!r}") from None
    try:
        return _Body.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = f"{where}: {first['msg']}"
        if isinstance(found, dict) and found.get("error"):
            said = str(found["error"])[:300]
        raise BrokenBodyError(f"its answer is no chat completion: {said}") from None


def _count_tokens(usage: object, size: int) -> int:
    try:
        return _Usage.model_validate(usage).completion_tokens
    except ValidationError:
        return -(-size // _CHARACTERS)


def _size(said: _Said) -> int:
    """Characters of text and calls."""
    functions = [call.function for call in said.tool_calls or () if call.function]
    return len(_text(said)) + sum(len(f.name) + len(_arguments(f)) for f in functions)


def _arguments(function: _Function) -> str:
    """As the model wrote them; some servers send them parsed, or none."""
    given = function.arguments
    if isinstance(given, str):
        return given
    return "" if given is None else json.dumps(given, ensure_ascii=False)


def _read_call(call: _Call, index: int) -> ToolCall:
    if call.function is None:
        raise _NoCallError("a call of no function")
    name = make_encodable(call.function.name)
    try:
        return ToolCall(
            id=f"functions.{name}:{index}", name=name, arguments=_arguments(call.function)
        )
    except ValidationError:
        raise _NoCallError(f"no tool can have the name {name[:80]!r}") from None
