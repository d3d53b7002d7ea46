"""An agent behind any OpenAI-compatible chat endpoint: vLLM's own server or another."""

import json
import os
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from k2core.agents.bodies import AgentTurn, BrokenBodyError, collect, read_turn
from k2core.agents.dialogue import Dialogue, break_off, close_session
from k2core.agents.opening import OpenSession
from k2core.agents.session import Session
from k2core.chat.exchange import to_line
from schemas.chat import Message, Problem, ToolSpec
from schemas.endpoint import Endpoint
from schemas.outside import make_encodable

_SHORTEST_KEY = 6
"""Shorter ones are no secrets, and words of any text."""
_LONGEST_PAUSE_S = 8.0
TOO_LONG = re.compile(
    "context length|context window|maximum model length|max_model_len", re.IGNORECASE
)
"""What servers say of a prompt that the model cannot hold: its limit, no fault of anybody's."""


class EndpointError(RuntimeError):
    """The endpoint cannot be used; says nothing about a dialogue."""


class ChatModel:
    """A model that answers chats; safe to call from many threads.

    Args:
        endpoint: where it is and how it samples.

    Raises:
        EndpointError: the key's environment variable is named and not set.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from openai import OpenAI

        key = os.environ.get(endpoint.api_key_variable, "")
        if endpoint.api_key_variable and not key:
            raise EndpointError(f"set {endpoint.api_key_variable}: it holds the endpoint's key")
        self.endpoint = endpoint
        self._key = key
        self._client = OpenAI(
            base_url=endpoint.url,
            api_key=key or "none",
            max_retries=endpoint.max_retries,
            timeout=endpoint.timeout_s,
        )

    @property
    def name(self) -> str:
        """Who acted, for lineage."""
        return f"{self.endpoint.url} {self.endpoint.model}"

    def say(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], max_tokens: int, seed: int
    ) -> AgentTurn:
        """The next assistant message; call ids are counted on over the dialogue, as K2 does.

        Raises:
            EndpointError: no answer after all retries; the message says what the server said.
        """
        made = sum(len(message.tool_calls) for message in messages)
        tries = 0
        while True:
            try:
                return read_turn(self._ask(messages, tools, max_tokens, seed), made, max_tokens)
            except BrokenBodyError as error:
                if tries == self.endpoint.max_retries:
                    raise EndpointError(f"{self.name}: {error}") from None
            time.sleep(min(0.5 * 2**tries, _LONGEST_PAUSE_S))
            tries += 1

    def _ask(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], max_tokens: int, seed: int
    ) -> str:
        """The body of one answer, the key nowhere in it; the client asks a busy server again."""
        from openai import OpenAIError

        line = to_line(messages, tools)
        options: dict[str, Any] = {"tools": line["tools"]} if tools else {}
        asked = self._client.chat.completions.with_streaming_response.create(
            model=self.endpoint.model,
            messages=line["messages"],
            max_tokens=max_tokens,
            temperature=self.endpoint.temperature,
            seed=seed,
            **options,
        )
        deadline = time.monotonic() + self.endpoint.timeout_s * (self.endpoint.max_retries + 1)
        try:
            with asked as response:
                return self._hide(
                    collect(response.iter_bytes(), self.endpoint.max_answer_bytes, deadline)
                )
        except OpenAIError as error:
            # Not `from error`: a server's words may hold the key, and a traceback shows them.
            raise EndpointError(f"{self.name}: {self._hide(str(error))[:1000]}") from None
        except BrokenBodyError:
            raise
        except Exception as error:  # the transport's own, while the body is read
            said = self._hide(f"{type(error).__name__}: {error}")
            raise BrokenBodyError(f"its answer was cut off ({said[:200]})") from None

    def _hide(self, text: str) -> str:
        """The text without the key: servers and proxies echo it."""
        if len(self._key) >= _SHORTEST_KEY:
            for form in (self._key, json.dumps(self._key)[1:-1], quote(self._key, safe="")):
                text = text.replace(form, "<key>")
        return make_encodable(text)


def play_model(
    problem: Problem,
    model: ChatModel,
    seed: int,
    open_session: OpenSession = Session,
    max_answer: int | None = None,
) -> Dialogue:
    """Put a model before a problem, to the end or to the problem's budgets.

    Where endpoint or environment fail, the dialogue is `is_faulty` and says why; nothing raises.
    What the model's context cannot hold ends it as its own limit.

    Args:
        problem: what is asked.
        model: who answers.
        seed: of the sampling.
        open_session: begins a dialogue; by default with a simulator of the problem's own.
        max_answer: most tokens of a message; by default what the problem's budget leaves.
    """
    try:
        return _play(open_session(problem), model, seed, max_answer)
    except Exception as error:
        return break_off(problem, model.name, error)


def _play(session: Session, model: ChatModel, seed: int, max_answer: int | None) -> Dialogue:
    problem, left = session.problem, session.problem.max_tokens
    while session.stop_reason is None:
        most = min(left, max_answer or left)
        try:
            turn = model.say(session.messages, problem.tools, most, seed + session.num_calls)
        except EndpointError as error:
            if not TOO_LONG.search(str(error)):
                raise
            session.stop_reason = "context"
            break
        left -= turn.num_tokens
        if turn.malformed:
            session.cut_off(turn.message, "malformed")
            break
        if not turn.finished:
            session.cut_off(turn.message, "token_budget")
            break
        session.reply(turn.message)
        if session.stop_reason is None and left <= 0:
            session.stop_reason = "token_budget"
    written = problem.max_tokens - left
    return close_session(session, model.name)._replace(num_counted=written)
