"""A problem's tests are judged before they judge: passable, and able to tell right from wrong."""

from collections.abc import Iterator

import pytest

from k2core.problems.functions import PATTERNS
from k2core.sandbox import Sandbox, check_problem
from k2core.sandbox.mutants import mutants

GOLD = "def f(x):\n    return x + 1 if x > 0 else 0\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def test_tests_that_tell_all(sandbox: Sandbox) -> None:
    tests = ["assert f(1) == 2", "assert f(0) == 0", "assert f(5) == 6", "assert f(-3) == 0"]
    found, asked, missed = check_problem(sandbox, GOLD, tests, ("f",))
    assert (found, asked, missed) == (5, 5, ())


def test_tests_that_tell_some(sandbox: Sandbox) -> None:
    found, asked, missed = check_problem(sandbox, GOLD, ["assert f(1) == 2"], ("f",))
    assert asked == 5
    assert 0 < found < 5
    assert len(missed) == asked - found


@pytest.mark.parametrize(
    ("tests", "complaint"),
    [
        (["assert f(lambda: 1) == 2"], "the right solution fails them: TypeError: a test passes a"),
        (["assert f(1) == 3"], "the right solution fails them: AssertionError"),
        (["f(1"], "the right solution fails them: SyntaxError"),
        (["assert True"], "a solution that does no work passes them"),
        (["f(1)"], "a solution that does no work passes them"),
        (["try:\n    f(1)\nexcept Exception:\n    pass"], "a solution that does no work passes"),
        (["assert f(1) != 9 and f(1) and f(1) != 1"], "all of 1 wrong solutions pass them"),
    ],
)
def test_tests_that_cannot_judge(sandbox: Sandbox, tests: list[str], complaint: str) -> None:
    wrong = ["def f(x):\n    return 3"]
    with pytest.raises(ValueError, match=complaint):
        check_problem(sandbox, GOLD, tests, ("f",), wrong)


def test_our_own_families_tell(sandbox: Sandbox) -> None:
    slots = {"f": "f", "p": "x", "n": 3, "letter": "k", "first": "abc", "last": "xyz"}
    slots["alphabet"] = "abcdefghijklmnopqrstuvwxyz"
    for pattern in PATTERNS:
        gold = f"def f(x):\n    return {pattern.body.format(**slots)}\n"
        tests = [f"assert {test.format(**slots)}" for test in pattern.tests]
        assert check_problem(sandbox, gold, tests, ("f",)).found >= 1, pattern.what


def test_mutants_are_different_and_the_same_in_every_run() -> None:
    found = mutants(GOLD, 5)
    assert found == mutants(GOLD, 5)
    assert len({*found, GOLD}) == len(found) + 1
    assert mutants("x = []", 5) == []
