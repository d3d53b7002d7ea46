"""One request to an endpoint, whole or as a stream; whatever comes back is an answer or a fault."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from k2core.agents.bodies import BrokenBodyError, collect
from k2core.serving.events import DONE, iterate_events
from k2core.serving.requests import ServingRequest
from schemas.base import Config
from schemas.endpoint import Endpoint
from schemas.outside import NotJsonError, make_encodable, read_json


class SaidCall(Config):
    """A call as the endpoint sent it."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Answer(Config):
    """What an endpoint answered."""

    text: str = ""
    calls: tuple[SaidCall, ...] = ()
    finish: str = ""
    """Why it ended: `stop`, `tool_calls`, `length`, ..."""
    fault: str = ""
    """Why there is no answer; the rest is empty then."""


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _Call(BaseModel):
    index: int = 0
    id: str | None = None
    function: _Function = _Function()


class WireMessage(BaseModel):
    """A message as it is sent, or what an event adds to it."""

    content: str | None = None
    tool_calls: list[_Call] | None = None

    def numbered_calls(self) -> Iterator[tuple[int, _Call]]:
        """Which of the answer's calls each is, or is a part of."""
        for place, call in enumerate(self.tool_calls or ()):
            # Whole answers number no calls: their place does.
            yield call.index if "index" in call.model_fields_set else place, call


class WireChoice(BaseModel):
    """One of a body's choices."""

    message: WireMessage | None = None
    delta: WireMessage | None = None
    finish_reason: str | None = None


class _Body(BaseModel):
    choices: list[WireChoice] = Field(max_length=8)


class Asking(NamedTuple):
    """How much an answer may be."""

    max_tokens: int
    seed: int


class Wire:
    """An endpoint under test; safe to use from many threads.

    Args:
        endpoint: where it is; its `max_retries` is not used, since faults are what is counted.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from openai import OpenAI

        self._endpoint = endpoint
        self._client = OpenAI(
            base_url=endpoint.url,
            api_key=os.environ.get(endpoint.api_key_variable, "") or "none",
            max_retries=0,
            timeout=endpoint.timeout_s,
        )

    def ask(self, request: ServingRequest, how: Asking, *, stream: bool) -> Answer:
        """The answer, or what was wrong with it; never raises."""
        from openai import APIStatusError

        try:
            body = self._body(request, how, stream=stream)
            return _read_stream(body) if stream else _read_whole(body)
        except APIStatusError as error:
            return Answer(fault=f"HTTP {error.status_code}")
        except (BrokenBodyError, NotJsonError) as error:
            return Answer(fault=f"broken: {_first_line(error)}")
        except Exception as error:  # the transport's own: refused, cut off, out of time
            return Answer(fault=f"{type(error).__name__}: {_first_line(error)}")

    def _body(self, request: ServingRequest, how: Asking, *, stream: bool) -> str:
        messages: Any = request.messages
        tools: Any = request.tools
        asked = self._client.chat.completions.with_streaming_response.create(
            model=self._endpoint.model,
            messages=messages,
            tools=tools,
            temperature=0.0,
            max_tokens=how.max_tokens,
            seed=how.seed,
            stream=stream,
        )
        deadline = time.monotonic() + self._endpoint.timeout_s
        with asked as response:
            return collect(response.iter_bytes(), self._endpoint.max_answer_bytes, deadline)


def _first_line(error: Exception) -> str:
    return make_encodable(str(error).splitlines()[0][:120] if str(error) else "")


def read_choices(text: str) -> list[WireChoice]:
    """The choices of a body, or of an event of a stream.

    Raises:
        BrokenBodyError: it is no chat completion; says what it is.
        NotJsonError: it is no JSON.
    """
    found = read_json(text)
    try:
        return _Body.model_validate(found).choices
    except ValidationError as error:
        if isinstance(found, dict) and (said := found.get("error")):
            said = said.get("message") if isinstance(said, dict) else said
            raise BrokenBodyError(f"an error: {str(said)[:100]}") from None
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BrokenBodyError(f"no chat completion ({where}: {first['msg']})") from None


def _read_whole(body: str) -> Answer:
    choices = read_choices(body)
    if not choices or choices[0].message is None:
        raise BrokenBodyError("no chat completion (no message)")
    return _collected([choices[0].message], [choices[0].finish_reason])


def _read_stream(body: str) -> Answer:
    events = list(iterate_events([body.encode()]))
    if not events or events[-1] != DONE:
        raise BrokenBodyError("the stream does not end with [DONE]")
    choices = [choice for event in events[:-1] for choice in read_choices(event)[:1]]
    said = [choice.delta for choice in choices if choice.delta is not None]
    return _collected(said, [choice.finish_reason for choice in choices])


def _collected(said: Iterable[WireMessage], finishes: list[str | None]) -> Answer:
    text, calls = "", dict[int, SaidCall]()
    for part in said:
        text += part.content or ""
        for at, call in part.numbered_calls():
            known = calls.get(at, SaidCall())
            calls[at] = SaidCall(
                id=known.id + (call.id or ""),
                name=known.name + (call.function.name or ""),
                arguments=known.arguments + (call.function.arguments or ""),
            )
    finish = next((reason for reason in reversed(finishes) if reason), "")
    return Answer(
        text=make_encodable(text),
        calls=tuple(calls[at] for at in sorted(calls)),
        finish=finish,
    )


def as_json(answer: Answer) -> dict[str, object]:
    """For a line of a file."""
    plain: dict[str, object] = json.loads(answer.model_dump_json(exclude_defaults=True))
    return plain
