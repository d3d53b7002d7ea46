"""Simulated users: what they say each time that the assistant turns to them."""

import re
from collections.abc import Sequence
from typing import Protocol

from schemas.chat import Goal, Problem, UserSpec

_FRAMES = {
    "plain": "{}",
    "polite": "{} Thank you.",
    "terse": "{}",
    "chatty": "Well, let me see. {}",
}
_UNKNOWN = "I do not know that."
_LEAVES = "Never mind, I give up."
_WORD = re.compile(r"[a-z0-9]+")


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


class ListeningUser:
    """Tells goals one after the other, and answers questions as far as they know.

    A question that names fields of the goal is answered with their values; a question about
    anything else is not known, and after `patience` of those the user leaves. Words without a
    question close the goal. Deterministic: equal words are answered equally.
    """

    def __init__(self, spec: UserSpec) -> None:
        self._spec = spec
        self._goals = list(spec.goals)
        self._goal = self._goals.pop(0)
        self._unanswered = 0

    @property
    def has_more(self) -> bool:
        """Whether a goal is still to be told."""
        return bool(self._goals)

    def reply(self, said: str) -> str | None:
        """An answer, the next goal, or nothing where all is done."""
        if "?" in said:
            return self._answer(said)
        if not self._goals:
            return None
        self._goal, self._unanswered = self._goals.pop(0), 0
        return word(self._spec, self._goal.text)

    def _answer(self, question: str) -> str | None:
        asked = asked_details(self._goal, question)
        if asked:
            return word(
                self._spec, " ".join(f"The {name} is {self._goal.details[name]}." for name in asked)
            )
        self._unanswered += 1
        if self._unanswered > self._spec.patience:
            return None
        return _LEAVES if self._unanswered == self._spec.patience else _UNKNOWN


def word(spec: UserSpec, text: str) -> str:
    """A text in the user's style."""
    return _FRAMES[spec.style].format(text)


def asked_details(goal: Goal, question: str) -> list[str]:
    """The goal's fields that a question names, in the goal's order."""
    words = set(_WORD.findall(question.lower()))
    return [name for name in goal.details if set(_WORD.findall(name.lower())) <= words]


def open_user(problem: Problem) -> User:
    """A fresh simulated user for the problem."""
    return ListeningUser(problem.user) if problem.user else ScriptedUser(problem.follow_ups)
