"""A scenario's rubric, checked by program: final state, answers, tools used, checkpoints."""

import re
from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from k2core.environments import read_fields
from k2core.rewards.numbers import final_number, find_numbers, read_number
from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, Verdict
from schemas.chat import Message, Problem

_JOINT = re.compile(r"[\s,;|/&]{0,9}(?:or|and)?[\s,;|/&]{0,9}")


def check_scenario(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"state": {...}, "answers": [...], "must_call": [...], "must_not_call": [...]}`.

    The final state must be equal, whole: no collateral damage. Each goal is closed by a message
    that is no question; where its answer is not null, the message must commit to it. Tools that
    must be called must have succeeded once; those that must not, never. The reward is the share of
    these checkpoints; 1 needs all.
    """
    wanted: Any = problem.expected
    closings = list_closings(outcome.messages)
    heard = "\n".join(m.content for m in outcome.messages if m.role == "user")
    worked = list_successes(outcome.messages)
    held = {"wrong_state": outcome.state == wanted["state"]}
    for number, answer in enumerate(wanted["answers"]):
        told = number < len(closings)
        if told and answer is not None:
            rivals = list_rivals(problem.state.get("data"), answer)
            told = says(closings[number], answer, rivals, heard)
        held[f"goal {number + 1} not closed as asked"] = told
    for name in wanted["must_call"]:
        held[f"did not call {name}"] = name in worked
    for name in wanted["must_not_call"]:
        held[f"called {name}"] = name not in worked
    broken = next((reason for reason, holds in held.items() if not holds), "")
    return Verdict(sum(held.values()) / len(held), broken)


def says(text: str, answer: str, rivals: Collection[str] = (), heard: str = "") -> bool:
    """Whether a message commits to the answer: the last value of its kind that it says.

    Args:
        text: the message.
        answer: a number in any spelling, or words that must stand by themselves.
        rivals: other words that the answer could have been.
        heard: the user's words: values that they name answer nothing when they are said again.
    """
    number = read_number(answer)
    if number is not None:
        known = {n.value for n in find_numbers(heard) if n.value and n.value != number}
        found = final_number(text, known)
        return found is not None and found.value == number
    places = {rival: _place(text, rival) for rival in rivals if rival != answer}
    told = _place(text, answer)
    if told is None:
        return False
    for rival, place in places.items():
        named = _place(heard, rival) is not None
        if place and ((place > told and not named) or _joined(text, told, place)):
            return False
    return True


class _Place(NamedTuple):
    """Where a word stands last."""

    start: int
    end: int


def _place(text: str, word: str) -> _Place | None:
    found = re.finditer(rf"(?<!\bnot )(?<![\w.-]){re.escape(word)}(?![\w-]|\.\w)", text)
    last = deque(found, maxlen=1)
    return _Place(*last[0].span()) if last else None


def _joined(text: str, one: _Place, other: _Place) -> bool:
    """Whether two words stand beside each other as alternatives."""
    first, second = sorted((one, other))
    return bool(_JOINT.fullmatch(text[first.end : second.start]))


def list_rivals(state: JsonValue, answer: str) -> set[str]:
    """What the answer could have been: other values of its field, other keys of its table."""
    found: set[str] = set()
    for group in _groups(state).values():
        if answer in group:
            found |= group
    return found - {answer}


def _groups(state: JsonValue) -> dict[str, set[str]]:
    """Texts by the field that holds them, and the keys of tables of records."""
    groups = defaultdict[str, set[str]](set)
    left: list[tuple[str, JsonValue]] = [("", state)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            if value and all(isinstance(inner, dict) for inner in value.values()):
                groups[f"key of {name}"] |= set(value)
            left += value.items()
        elif isinstance(value, list):
            left += ((name, inner) for inner in value)
        elif isinstance(value, str):
            groups[name].add(value)
    return groups


def list_closings(messages: Sequence[Message]) -> list[str]:
    """Assistant messages to the user that are no questions, in order."""
    said = [m.content for m in messages if m.role == "assistant" and not m.tool_calls]
    return [text for text in said if "?" not in text]


def list_successes(messages: Sequence[Message]) -> set[str]:
    """Names of the tools that did, or after a timeout may have done, what they were called for."""
    return {m.name or "" for m in messages if m.role == "tool" and _worked(m.content)}


def _worked(result: str) -> bool:
    fields = read_fields(result)  # what is no object tells nothing
    return fields is not None and fields.get("error") in (None, "timeout")
