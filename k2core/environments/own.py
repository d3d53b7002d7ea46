"""Environments of somebody's own: a class with `reset`, `step` and `score`, run confined.

A session is its history. Each step is a fresh, jailed process that resets the environment by the
problem's seed and takes it through all actions so far, so that nothing is left of one dialogue in
another, and a dialogue that is played elsewhere or judged later meets the same world. An
environment that does not say the same twice is found out.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import JsonValue

from k2core.sandbox import CodeRunner, OwnCodeError, read_own, run_own
from schemas.chat import Problem

OWN = "own"
"""`Problem.environment` of these."""


class OwnEnvironment(Protocol):
    """What somebody writes. Equal seeds and equal actions must give equal observations.

    The class takes the source's `options` by name. It may have `tools`, a list of functions as
    OpenAI's API has them; a call of one is a step as well.
    """

    def reset(self, seed: int) -> str | list[dict[str, str]]:
        """Begin; what the user says first, or several messages that end with it."""

    def step(self, action: str | dict[str, Any]) -> str | None:
        """Take what the assistant said, a text, or called, `{"name": ..., "arguments": {...}}`.

        Returns:
            What is answered; None where the dialogue ends with that text.
        """

    def score(self) -> float:
        """The reward from 0 to 1, once the dialogue has ended; 1 is solved."""


class OwnWorld:
    """A session with one: it executes the calls, and speaks for the user."""

    def __init__(self, problem: Problem, sandbox: CodeRunner) -> None:
        self._stated, self._sandbox = problem.state, sandbox
        self._code = read_own(problem.state["code"])
        self._actions: list[JsonValue] = []
        self._heard: list[JsonValue] = []

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """What was done: by that it is judged."""
        return {"actions": list(self._actions)}

    @property
    def has_more(self) -> bool:
        """Whether the dialogue goes on: only the environment knows."""
        return True

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """A tool's result."""
        return str(self._step({"name": name, "arguments": arguments}))

    def reply(self, said: str) -> str | None:
        """What the user says to a text; None at the end."""
        heard = self._step(said)
        return None if heard is None else str(heard)

    def _step(self, action: JsonValue) -> JsonValue:
        actions = [*self._actions, action]
        found = play_own(self._stated, actions, self._sandbox)["heard"]
        assert isinstance(found, list)
        if found[:-1] != self._heard:
            raise OwnCodeError(
                f"{self._code.named} does not say the same twice: draw by the seed of reset alone"
            )
        self._actions, self._heard = actions, found
        return found[-1]


def play_own(
    stated: Mapping[str, JsonValue], actions: list[JsonValue], sandbox: CodeRunner
) -> dict[str, JsonValue]:
    """Take an environment from its beginning through these actions.

    Raises:
        OwnCodeError: it failed; says how.
    """
    about: dict[str, JsonValue] = {
        "options": stated["options"],
        "seed": stated["seed"],
        "actions": actions,
        "judged": False,
    }
    seconds = int(str(stated["seconds"]))
    return run_own(sandbox, read_own(stated["code"]), "play", about, seconds)
