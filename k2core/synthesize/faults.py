"""Simulators that are broken on purpose: what a dialogue is spoiled with, and must be blamed for.

Up to 30 % of the failed dialogues of a benchmark were found to be its user simulator's fault; here
each kind of fault can be planted, so that its attribution is measured.
"""

import json
import random
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from k2core.agents import User
from k2core.environments import Environment, result_text


class SilentUser:
    """Never says a line after the first."""

    has_more = False

    def reply(self, said: str) -> str | None:
        """Nothing."""
        return None


class StrayUser:
    """Says, instead of the last of its own lines, somebody else's."""

    def __init__(self, own: User, stray: str) -> None:
        self._own = own
        self._stray = stray

    @property
    def has_more(self) -> bool:
        """As of the own lines."""
        return self._own.has_more

    def reply(self, said: str) -> str | None:
        """The own line, or the stray one in place of the last."""
        words = self._own.reply(said)
        return self._stray if words and not self._own.has_more else words


class BrokenEnvironment:
    """Passes calls on, and spoils what comes back."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """The real state."""
        return self._environment.state

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The spoiled result."""
        return self.spoil(self._environment.call(name, arguments))

    def spoil(self, result: str) -> str:
        """What the caller gets for the true result."""
        raise NotImplementedError


class Outage(BrokenEnvironment):
    """Busy, and does nothing, for good."""

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Busy, without passing the call on."""
        return result_text({"error": "busy"})


class Garbling(BrokenEnvironment):
    """Answers with another number or text than the semantics give."""

    def __init__(self, environment: Environment, rng: random.Random) -> None:
        super().__init__(environment)
        self._rng = rng

    def spoil(self, result: str) -> str:
        """Digits rotated by one to eight; a text without any, reversed."""
        found = json.loads(result)
        if "result" not in found:
            return result
        text, shift = json.dumps(found["result"]), self._rng.randrange(1, 9)
        garbled = "".join(str((int(c) + shift) % 10) if c.isdecimal() else c for c in text)
        if garbled == text:
            return result_text({"result": str(found["result"])[::-1]})
        try:
            return result_text({"result": json.loads(garbled)})
        except ValueError:  # a leading zero is no number
            return result_text({"result": int(garbled) if garbled.isdecimal() else garbled})


class Forgetful(BrokenEnvironment):
    """Says that it did what was asked, and forgets it: the state stays as it began."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._state = json.loads(json.dumps(environment.state))

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """As it began."""
        state: Mapping[str, JsonValue] = self._state
        return state

    def spoil(self, result: str) -> str:
        """Unchanged."""
        return result
