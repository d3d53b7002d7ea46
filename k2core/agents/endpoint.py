"""An agent behind any OpenAI-compatible chat endpoint: vLLM's own server or another."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from k2core.agents.dialogue import Dialogue, close_session
from k2core.agents.session import Session
from k2core.chat.exchange import to_line
from schemas.chat import Message, Problem, ToolCall, ToolSpec
from schemas.endpoint import Endpoint


class EndpointError(RuntimeError):
    """The endpoint cannot be used; says nothing about a dialogue."""


class Turn(NamedTuple):
    """What a model said, and the tokens that it took."""

    message: Message
    num_tokens: int
    finished: bool
    """Whether it ended by itself, not by the limit of tokens."""


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
    ) -> Turn:
        """The next assistant message; call ids are counted on over the dialogue, as K2 does.

        Raises:
            EndpointError: no answer after all retries; the message says what the server said.
        """
        from openai import OpenAIError

        line = to_line(messages, tools)
        options: dict[str, Any] = {"tools": line["tools"]} if tools else {}
        try:
            answer = self._client.chat.completions.create(
                model=self.endpoint.model,
                messages=line["messages"],
                max_tokens=max_tokens,
                temperature=self.endpoint.temperature,
                seed=seed,
                **options,
            )
        except OpenAIError as error:
            raise EndpointError(f"{self.name}: {error}") from error
        choice = answer.choices[0]
        num_tokens = answer.usage.completion_tokens if answer.usage else 0
        made = sum(len(message.tool_calls) for message in messages)
        calls = _read_calls(choice.message.tool_calls or (), made)
        said = Message(role="assistant", content=choice.message.content or "", tool_calls=calls)
        return Turn(said, num_tokens, choice.finish_reason != "length")


def _read_calls(calls: Sequence[Any], made: int) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            id=f"functions.{call.function.name}:{made + index}",
            name=call.function.name,
            arguments=call.function.arguments,
        )
        for index, call in enumerate(calls)
    )


def play_model(problem: Problem, model: ChatModel, seed: int) -> Dialogue:
    """Put a model before a problem, to the end or to the problem's budgets.

    Raises:
        EndpointError: the endpoint failed, which says nothing about the dialogue.
    """
    session, left = Session(problem), problem.max_tokens
    while session.stop_reason is None:
        try:
            turn = model.say(session.messages, problem.tools, left, seed + session.num_calls)
        except ValueError:  # a call whose name no tool can have
            session.cut_off(Message(role="assistant"), "malformed")
            break
        left -= turn.num_tokens
        if not turn.finished:
            session.cut_off(turn.message, "token_budget")
            break
        session.reply(turn.message)
        if session.stop_reason is None and left <= 0:
            session.stop_reason = "token_budget"
    return close_session(session, model.name)
