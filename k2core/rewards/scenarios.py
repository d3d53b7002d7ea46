"""A scenario's rubric, checked by program: final state, answers, tools used, checkpoints."""

import re
from collections.abc import Sequence
from typing import Any

from k2core.environments import read_fields
from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, Verdict
from schemas.chat import Message, Problem


def check_scenario(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"state": {...}, "answers": [...], "must_call": [...], "must_not_call": [...]}`.

    The final state must be equal, whole: no collateral damage. Each goal is closed by a message
    that is no question; where its answer is not null, the message must hold it. Tools that must be
    called must have succeeded once; those that must not, never. The reward is the share of these
    checkpoints; 1 needs all.
    """
    wanted: Any = problem.expected
    closings = list_closings(outcome.messages)
    worked = list_successes(outcome.messages)
    held = {"wrong_state": outcome.state == wanted["state"]}
    for number, answer in enumerate(wanted["answers"]):
        told = number < len(closings) and (answer is None or says(closings[number], answer))
        held[f"goal {number + 1} not closed as asked"] = told
    for name in wanted["must_call"]:
        held[f"did not call {name}"] = name in worked
    for name in wanted["must_not_call"]:
        held[f"called {name}"] = name not in worked
    broken = next((reason for reason, holds in held.items() if not holds), "")
    return Verdict(sum(held.values()) / len(held), broken)


def says(text: str, answer: str) -> bool:
    """Whether the answer stands in the text as a word of its own: 3 is not in `30` nor in `3.5`."""
    return bool(re.search(rf"(?<![\w.-]){re.escape(answer)}(?![\w-]|\.\d)", text))


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
