"""A problem being worked on: the environment, the simulated user and what was said so far."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from k2core.agents.user import User, open_user
from k2core.environments import CALLED, Environment, execute_call, open_environment
from schemas.chat import Message, Problem

StopReason = Literal[
    "answered", "turn_limit", "token_budget", "context", "repetition", "malformed", "faulty"
]
"""Why a dialogue ended: a final answer, what cut it off before one, or a fault not the agent's."""


class Session:
    """Answers an assistant's messages: with tools' results, with the user's next words, or not.

    Args:
        problem: what is asked.
        environment: executes the calls; by default a fresh simulator of the problem's own.
        user: speaks for the user; by default by the problem's own lines.
    """

    def __init__(
        self, problem: Problem, environment: Environment | None = None, user: User | None = None
    ) -> None:
        self.problem = problem
        self.messages: list[Message] = list(problem.messages)
        self.stop_reason: StopReason | None = None
        """None while the assistant is to speak."""
        self.num_calls = 0
        self._environment = environment or open_environment(problem)
        self._user = user or open_user(problem)
        self._num_turns = 0

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """The environment's state now."""
        return self._environment.state

    @property
    def goal_is_told(self) -> bool:
        """Whether the user has nothing more to say: the next words to them are the answer."""
        return not self._user.has_more

    def reply(self, message: Message) -> list[Message]:
        """Take an assistant's message; returns what follows, nothing if the dialogue has ended."""
        self.messages.append(message)
        self._num_turns += 1
        if message.tool_calls and self.problem.environment == CALLED:
            self.num_calls += len(message.tool_calls)
            self.stop_reason = "answered"
            return []
        if message.tool_calls:
            answers = [
                Message(
                    role="tool",
                    content=execute_call(self._environment, call),
                    tool_call_id=call.id,
                    name=call.name,
                )
                for call in message.tool_calls
            ]
        elif words := self._user.reply(message.content):
            answers = [Message(role="user", content=words)]
        else:
            self.stop_reason = "answered"
            return []
        self.num_calls += len(message.tool_calls)
        self.messages += answers
        if self._num_turns >= self.problem.max_turns:
            self.stop_reason = "turn_limit"
        return answers

    def cut_off(self, message: Message, reason: StopReason) -> None:
        """End with a message that was not finished or makes no sense; nothing is executed."""
        self.messages.append(message)
        self.stop_reason = reason
