"""A pool of sandboxes in Ray actors judges as one in this process does, and survives a death."""

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray

from k2core.engines.ray.sandboxes import SandboxPool
from k2core.rewards import Outcome, verify
from k2core.sandbox import IoCase, SandboxError, SandboxUnavailableError
from schemas.chat import Message, Problem

pytestmark = pytest.mark.slow

RIGHT = "def f(x):\n    return x * x"
TESTS = ["assert f(2) == 4"]


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(2) as started:
        yield started


def test_verdicts_of_many_threads(pool: SandboxPool) -> None:
    assert set(pool.tiers) <= {"A", "B"}
    solutions = [RIGHT, "def f(x):\n    return x"] * 8
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda s: pool.runner.judge_calls(s, TESTS, ("f",)), solutions))
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0] * 8
    assert pool.runner.judge_io("print(2 * int(input()))", [IoCase("4", "8")]) == (1.0, "")
    assert pool.runner.run("print(1)").stdout == "1\n"


def test_errors_arrive_as_what_they_are(pool: SandboxPool) -> None:
    with pytest.raises(ValueError, match="entry_points is empty"):
        pool.runner.judge_calls(RIGHT, TESTS, ())
    with pytest.raises(ValueError, match="unknown language"):
        pool.runner.run("", language="cobol")


def test_a_verifier_takes_the_pool_as_its_sandbox(pool: SandboxPool) -> None:
    asked = Problem(
        problem_id="f/train/1",
        family="f",
        group="code",
        messages=(Message(role="user", content="?"),),
        verifier="python_function",
        expected={"tests": list(TESTS), "entry_points": ["f"]},
    )
    said = Outcome((Message(role="assistant", content=RIGHT),))
    assert verify(asked, said, pool.runner) == (1.0, "")


def test_a_dead_actor_is_no_verdict(pool: SandboxPool) -> None:
    slow = f"import time\ntime.sleep(1)\n{RIGHT}"
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(pool.runner.judge_calls, slow, TESTS, ("f",)) for _ in range(4)]
        ray.kill(pool.actors[0], no_restart=False)
        assert [w.result() for w in waiting] == [(1.0, "")] * 4


def test_no_tier_no_pool(pool: SandboxPool) -> None:
    assert pool.tiers
    with pytest.raises(SandboxUnavailableError, match="no sandbox works on this machine"):
        SandboxPool(1, ())


def test_a_closed_pool_says_so() -> None:
    with SandboxPool(1) as pool:
        runner = pool.runner
        assert pickle.loads(pickle.dumps(runner)).run("print(2)").stdout == "2\n"
    with pytest.raises(RuntimeError, match="the sandboxes are closed"):
        _ = pool.actors
    with pytest.raises(SandboxError, match="the sandbox's actor is gone"):
        runner.run("print(1)")
