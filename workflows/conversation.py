"""A dialogue with an endpoint: streamed, its calls really executed, nothing thrown away."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from k2core.agents.bodies import BrokenBodyError
from k2core.chat.exchange import to_line
from k2core.environments import Environment, execute_call
from k2core.serving.events import DONE, iterate_events
from k2core.serving.wire import WireMessage, read_choices
from schemas.chat import Message, ToolCall, ToolSpec
from schemas.endpoint import Endpoint
from schemas.outside import NotJsonError, make_encodable

_MOST_ROUNDS = 12
"""Turns with calls that one question may take."""


class Toolbox(NamedTuple):
    """Tools and what executes them."""

    specs: Sequence[ToolSpec]
    environment: Environment


class ModelTurn(NamedTuple):
    """What a model said, and how it ended."""

    message: Message
    ended: str
    """`stop`, `tool_calls`, `length`, ..., or `interrupted`, `broken off`."""
    wrong: str = ""
    """Why calls were left out of the message."""


class NoAnswerError(RuntimeError):
    """The endpoint gave none; the dialogue is as it was before the question."""


class ChatDialogue:
    """One dialogue.

    Args:
        endpoint: who answers.
        key: the endpoint's key.
        toolbox: what may be called.
        show: told each part of a text as it comes.
        tell: told what else happens: calls, results, remarks; with a style.
        max_tokens: of one assistant message.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str,
        toolbox: Toolbox,
        show: Callable[[str], None],
        tell: Callable[[str, str], None],
        max_tokens: int,
    ) -> None:
        from openai import OpenAI

        self.toolbox = toolbox
        self.system = ""
        self.messages: list[Message] = []
        self._endpoint, self._max_tokens = endpoint, max_tokens
        self._show, self._tell = show, tell
        self._client = OpenAI(
            base_url=endpoint.url, api_key=key or "none", timeout=endpoint.timeout_s, max_retries=1
        )

    @property
    def num_calls(self) -> int:
        """Calls made so far: ids are counted on from here."""
        return sum(len(message.tool_calls) for message in self.messages)

    def line(self) -> dict[str, Any]:
        """The dialogue in the form that `k2 validate` and other trainers read."""
        system = [Message(role="system", content=self.system)] if self.system else []
        return to_line([*system, *self.messages], self.toolbox.specs)

    def ask(self, text: str) -> None:
        """Let the model speak and call until it has answered.

        Raises:
            NoAnswerError: the endpoint fails; what it did not answer is not in the dialogue.
        """
        kept = len(self.messages)
        self.messages.append(Message(role="user", content=make_encodable(text)))
        for _ in range(_MOST_ROUNDS):
            try:
                turn = self._hear()
            except NoAnswerError:
                # Calls that were executed stay executed: only an unanswered question is taken back.
                if len(self.messages) == kept + 1:
                    del self.messages[kept:]
                raise
            self.messages.append(turn.message)
            if turn.wrong:
                self._tell(f"({turn.wrong}: the call is left out)", "yellow")
            if turn.ended in _REMARKS:
                self._tell(f"({_REMARKS[turn.ended]})", "yellow")
            elif turn == ModelTurn(Message(role="assistant"), turn.ended):
                self._tell("(an empty answer)", "dim")
            if not turn.message.tool_calls:
                return
            if not self._execute_all(turn.message.tool_calls):
                return
        self._tell(f"(still calling after {_MOST_ROUNDS} turns: stopped)", "yellow")

    def _execute_all(self, calls: Sequence[ToolCall]) -> bool:
        """Append what each call returns; False if interrupted, and then the rest says so."""
        is_interrupted = False
        for call in calls:
            self._tell(f"  {call.name} {call.arguments}", "dim")
            try:
                result = _INTERRUPTED if is_interrupted else self._execute(call)
            except KeyboardInterrupt:
                result, is_interrupted = _INTERRUPTED, True
            self._tell(f"  = {result}", "dim")
            self.messages.append(
                Message(role="tool", content=result, tool_call_id=call.id, name=call.name)
            )
        return not is_interrupted

    def _execute(self, call: ToolCall) -> str:
        try:
            return execute_call(self.toolbox.environment, call)
        except Exception as error:  # a live server's own: the model may try something else
            return f'{{"error":"the tool failed: {type(error).__name__}"}}'

    def _hear(self) -> ModelTurn:
        from openai import APIError

        heard = _Heard(self._show)
        try:
            for event in self._events():
                heard.take(event)
        except KeyboardInterrupt:
            heard.ended, heard.pieces = "interrupted", {}
        except APIError as error:
            raise NoAnswerError(make_encodable(str(error))[:500]) from None
        except (BrokenBodyError, NotJsonError) as error:
            raise NoAnswerError(f"its answer is broken: {error}") from None
        except Exception as error:  # the transport's own
            said = make_encodable(f"{type(error).__name__}: {error}")
            raise NoAnswerError(said[:300]) from None
        finally:
            self._show("\n" if heard.text else "")
        return heard.turn(self.num_calls)

    def _events(self) -> Iterator[str]:
        """Of the answer's stream; at least one."""
        line = self.line()
        options = {"tools": line["tools"]} if line["tools"] else {}
        asked = self._client.chat.completions.with_streaming_response.create(
            model=self._endpoint.model,
            messages=line["messages"],
            temperature=self._endpoint.temperature,
            max_tokens=self._max_tokens,
            stream=True,
            **options,
        )
        begun = bytearray()
        with asked as response:
            chunks = _bounded(response.iter_bytes(), self._endpoint.max_answer_bytes, begun)
            events = iterate_events(chunks)
            first = next(events, None)
            if first is None:
                said = begun.decode(errors="replace")
                raise BrokenBodyError(f"it is no stream of events: {said[:80]!r}")
            yield from chain([first], events)


def _bounded(chunks: Iterable[bytes], max_bytes: int, begun: bytearray) -> Iterator[bytes]:
    """As many as an answer may have; the first few bytes are noted."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise BrokenBodyError(f"it has more than {max_bytes:,} bytes")
        begun += chunk[: max(0, 400 - len(begun))]
        yield chunk


class _Heard:
    """An answer as it comes."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.text, self.ended, self.is_closed = "", "", False
        self.pieces: dict[int, list[str]] = {}

    def take(self, event: str) -> None:
        """Add an event."""
        if event == DONE:
            self.is_closed = True
        if self.is_closed:
            return
        for choice in read_choices(event)[:1]:
            said = choice.delta or WireMessage()
            part = make_encodable(said.content or "")
            self.text += part
            self._show(part)
            for at, call in said.numbered_calls():
                known = self.pieces.setdefault(at, ["", ""])
                known[0] += call.function.name or ""
                known[1] += call.function.arguments or ""
            self.ended = choice.finish_reason or self.ended

    def turn(self, made: int) -> ModelTurn:
        """What it is in the end; calls of one that broke off may be half calls."""
        ended = self.ended or ("" if self.is_closed else "broken off")
        kept = {} if ended in ("length", "broken off") else self.pieces
        return _read(self.text, [kept[at] for at in sorted(kept)], ended, made)


_INTERRUPTED = '{"error":"interrupted by the user"}'
_REMARKS = {
    "length": "cut off at the limit of tokens",
    "interrupted": "interrupted",
    "broken off": "the stream broke off before its end",
}


def _read(text: str, pieces: Sequence[list[str]], ended: str, made: int) -> ModelTurn:
    try:
        calls = tuple(
            ToolCall(id=f"functions.{name}:{made + place}", name=name, arguments=arguments)
            for place, (name, arguments) in enumerate(pieces)
        )
    except ValidationError:
        wrong = f"no tool can have the name of a call in {pieces!r}"[:200]
        return ModelTurn(Message(role="assistant", content=text), ended, wrong)
    return ModelTurn(Message(role="assistant", content=text, tool_calls=calls), ended)


def save_dialogue(conversation: ChatDialogue, path: Path) -> None:
    """Append the dialogue as a line of JSON."""
    import json

    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(conversation.line(), ensure_ascii=False) + "\n")
