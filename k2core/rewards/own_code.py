"""Rewards by somebody's own function or environment, both confined (`k2core.sandbox.own`).

Whatever such code does but give a number from 0 to 1 is its own failure and not the answer's: the
verdict is faulty, counted, and no reward.
"""

from typing import cast

from pydantic import JsonValue

from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, OwnCodeError, Verdict, read_own, run_own
from schemas.chat import Message, Problem


def check_own_code(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    """`{"code": ..., "seconds": 5, "row": {...}}`: what the function gives, from 0 to 1."""
    expected, row = problem.expected, problem.expected["row"]
    if sandbox is None:
        raise ValueError("a function of your own needs a sandbox to run in: pass one to verify")
    if not isinstance(row, dict):
        raise TypeError(f"row {row!r} is not an object")
    code, seconds = read_own(expected["code"]), int(str(expected["seconds"]))
    about = describe(problem, outcome, row)
    try:
        return _verdict(run_own(sandbox, code, "score", about, seconds))
    except OwnCodeError as error:
        return Verdict.faulty(error)


def check_own_environment(
    problem: Problem, outcome: Outcome, sandbox: CodeRunner | None
) -> Verdict:
    """`{}`: what the problem's environment scores after the dialogue's actions, from 0 to 1."""
    if sandbox is None:
        raise ValueError("an environment of your own needs a sandbox to run in")
    state = problem.state
    about = {
        "options": state["options"],
        "seed": state["seed"],
        "actions": outcome.state["actions"],
        "judged": True,
    }
    code, seconds = read_own(state["code"]), int(str(state["seconds"]))
    try:
        return _verdict(run_own(sandbox, code, "play", about, seconds))
    except OwnCodeError as error:
        return Verdict.faulty(error)


def describe(problem: Problem, outcome: Outcome, row: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """All that a function may ask for, by the names of its parameters.

    `prompt`, `completion`, `answer`, `info` and `state` mean what reward functions of the library
    `verifiers` take them for, `data_source`, `solution_str`, `ground_truth` and `extra_info` what
    those of verl do.
    """
    asked = len(problem.messages)
    # What reward functions written for the library verl are given.
    verl: dict[str, JsonValue] = {
        "data_source": problem.family,
        "solution_str": outcome.answer or "",
        "ground_truth": row.get("answer"),
        "extra_info": row,
    }
    return (
        verl
        | row
        | {
            "response": outcome.answer or "",
            "answer": row.get("answer"),
            "prompt": [_plain(m) for m in problem.messages],
            "completion": [_plain(m) for m in outcome.messages[asked:]],
            "messages": [_plain(m) for m in outcome.messages],
            "info": row,
            "row": row,
            "state": dict(outcome.state),
        }
    )


def _plain(message: Message) -> JsonValue:
    kept = message.model_dump(exclude_defaults=True)
    return cast("JsonValue", {"content": message.content, **kept})


def _verdict(said: dict[str, JsonValue]) -> Verdict:
    reward = float(str(said["reward"]))
    return Verdict(reward, "" if reward == 1.0 else "partly_right" if reward else "wrong_answer")
