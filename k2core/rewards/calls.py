"""Tool calls judged by execution: the gold calls run in a session that never fails."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from k2core.environments import open_environment, stated_error
from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, Verdict
from schemas.chat import Problem

_FAULTS = ("busy_rate", "timeout_rate", "partial_rate")


def check_calls(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"calls": [{"name": ..., "arguments": {...}}]}`: what they do and find, the dialogue did.

    The final state is equal, whole, and each result of a gold call was seen: other calls that lead
    there are as good, and more of them that change nothing do no harm.

    Raises:
        ValueError: a gold call fails.
    """
    calls: Any = problem.expected["calls"]
    if not isinstance(calls, list) or not calls:
        raise ValueError("calls must be a list of at least one call")
    session = open_environment(_without_faults(problem))
    wanted = [session.call(call["name"], call["arguments"]) for call in calls]
    for call, result in zip(calls, wanted, strict=True):
        if stated_error(result) is not None:
            raise ValueError(f"gold call {call['name']} fails: {result}")
    if _text(outcome.state) != _text(session.state):
        return Verdict(0.0, "wrong_state")
    seen = {message.content for message in outcome.messages if message.role == "tool"}
    unseen = [c["name"] for c, r in zip(calls, wanted, strict=True) if r not in seen]
    return Verdict(0.0, f"result of {unseen[0]} not seen") if unseen else Verdict(1.0)


def _without_faults(problem: Problem) -> Problem:
    state: dict[str, Any] = copy.deepcopy(problem.state)
    for tool in state.get("tools", {}).values():
        tool.update(dict.fromkeys(_FAULTS, 0.0))
    return problem.model_copy(update={"state": state})


def _text(state: Mapping[str, JsonValue]) -> str:
    """As text, where 1, 1.0 and true differ."""
    return json.dumps(dict(state), sort_keys=True)
