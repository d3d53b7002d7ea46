"""Scorers that need libraries which evaluate text: run confined, since a model wrote the text."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from k2core.problems.marked import marked_answer
from k2core.rewards.arithmetic import makes
from k2core.rewards.choices import find_choice
from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, Limits, SandboxError, Verdict
from schemas.chat import Problem

_LIMITS = Limits(cpu_s=3, wall_s=30.0, memory_mb=4096)
_LONGEST = 20_000
"""Characters that are scored, the last ones: no answer needs more."""
_SUMS: Mapping[str, int | None] = {"puzzle24": 24, "countdown": None}
"""Data sets of sums, with what they make where the entry does not say."""
_CHOSEN = re.compile(r"\(?[A-E]\)?")
_CONFINED = Path(__file__).parent / "confined"
_JOB = """
import json, sys
print(json.dumps(sys.modules["prepared"].score(json.loads(sys.stdin.read()))))
"""


def check_expression(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    r"""`{"answer": "\\frac{1}{2}"}`: the last expression of the final text equals it (math-verify).

    Raises:
        ValueError: the expected answer is no mathematics.
    """
    gold = str(problem.expected["answer"])
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    if outcome.answer == gold:
        return Verdict(1.0)
    if _CHOSEN.fullmatch(gold) and find_choice(outcome.answer) == gold.strip("()"):
        return Verdict(1.0)  # as mixed sets of problems have it
    marked = marked_answer(outcome.answer)
    answer = outcome.answer if marked is None else rf"\boxed{{{marked}}}"
    given: dict[str, JsonValue] = {"gold": gold, "answer": answer[-_LONGEST:]}
    return _score(sandbox, "expressions.py", given)


def check_puzzle(problem: Problem, outcome: Outcome, sandbox: CodeRunner | None) -> Verdict:
    """`{"dataset": "knights_knaves", "entry": {...}}`: reasoning-gym's own scorer gives it 1.

    Its partial credit for the right form counts as 0. Sums of given numbers are evaluated here:
    its scorers take letters for numbers, and 24.9 for 24.

    Raises:
        ValueError: the entry's own answer does not score 1.
    """
    dataset, entry = problem.expected["dataset"], problem.expected["entry"]
    if not isinstance(entry, dict) or "answer" not in entry:
        raise ValueError("entry must be an object with question, answer and metadata")
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    if dataset in _SUMS:
        return _check_sum(_SUMS[str(dataset)], entry, outcome.answer)
    answer = outcome.answer[-_LONGEST:]
    given: dict[str, JsonValue] = {"dataset": dataset, "entry": entry, "answer": answer}
    return _score(sandbox, "puzzles.py", given)


def _check_sum(target: int | None, entry: Mapping[str, JsonValue], answer: str) -> Verdict:
    about: Any = entry["metadata"]
    numbers, wanted = about["numbers"], about["target"] if target is None else target
    if not makes(str(entry["answer"]), numbers, wanted):
        raise ValueError(f"the entry's answer {entry['answer']!r} does not make {wanted}")
    return Verdict(1.0) if makes(answer, numbers, wanted) else Verdict(0.0, "wrong_answer")


def _score(sandbox: CodeRunner | None, scorer: str, given: Mapping[str, JsonValue]) -> Verdict:
    """Score an answer; one that is too costly to score is wrong, a scorer that fails an error.

    Raises:
        SandboxError: the scorer ended without a verdict, within its limits.
    """
    if sandbox is None:
        raise ValueError("a scorer of free text needs a sandbox: pass one to verify")
    setup = (_CONFINED / scorer).read_text()
    ran = sandbox.run_prepared(setup, _JOB, json.dumps(given), _LIMITS)
    if ran.end.timed_out or ran.end.is_over_cpu(_LIMITS) or "MemoryError" in ran.stderr:
        return Verdict(0.0, "too_costly_to_score")
    lines = ran.stdout.splitlines()
    if ran.end.exit_code or not lines:
        last = (ran.stderr.strip().splitlines() or [f"exit code {ran.end.exit_code}"])[-1]
        raise SandboxError(f"{scorer} ended without a verdict: {last}")
    found = json.loads(lines[-1])
    if not found["gold"]:
        raise ValueError("the scorer does not tell the expected answer from nonsense")
    return Verdict(1.0) if found["score"] >= 1.0 else Verdict(0.0, "wrong_answer")
