"""Problems and outcomes for tests of verifiers."""

from typing import NamedTuple

from pydantic import JsonValue

from k2core.rewards import Outcome
from schemas.chat import Message, Problem

WORDS = ("amber", "delta", "willow", "stone", "cedar", "lake", "orbit", "maple", "sand", "north")


class Trial(NamedTuple):
    """An attempt to be paid for nothing."""

    problem: Problem
    outcome: Outcome


def pose(verifier: str, expected: dict[str, JsonValue], **fields: object) -> Problem:
    plain = {"problem_id": "f/train/1", "family": "f", "group": "general", "verifier": verifier}
    messages = (Message(role="user", content="?"),)
    return Problem.model_validate({**plain, "messages": messages, "expected": expected, **fields})


def say(text: str, *before: Message, state: dict[str, JsonValue] | None = None) -> Outcome:
    return Outcome((*before, Message(role="assistant", content=text)), state or {})
