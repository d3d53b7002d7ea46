"""Simulated users: what they say each time that the assistant turns to them."""

from collections.abc import Sequence
from typing import Protocol


class User(Protocol):
    """The other side of a dialogue."""

    @property
    def has_more(self) -> bool:
        """Whether anything is left to say: if not, the next words to the user are the answer."""

    def reply(self, said: str) -> str | None:
        """What the user says to an assistant's words; None where the dialogue ends with them."""


class ScriptedUser:
    """Says its lines in order, whatever it hears."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = list(lines)

    @property
    def has_more(self) -> bool:
        """Whether lines are left."""
        return bool(self._lines)

    def reply(self, said: str) -> str | None:
        """The next line."""
        return self._lines.pop(0) if self._lines else None
