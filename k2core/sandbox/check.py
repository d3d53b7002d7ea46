"""Whether hidden tests can be passed, and can tell a right solution from wrong ones."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from k2core.sandbox.mutants import mutants, stubs
from k2core.sandbox.protocol import CodeRunner
from k2core.sandbox.verdict import IoCase, SandboxError, Verdict
from k2core.sandbox.zygote import DEFAULT_LIMITS, Limits

_NUM_MUTANTS = 5
_ECHO = "import sys; print(sys.stdin.read())"


class Telling(NamedTuple):
    """How many wrong solutions the tests tell from the right one."""

    found: int
    asked: int
    missed: tuple[str, ...]
    """Those that pass: equal to the right one, or wrong where no test looks."""


def check_problem(
    runner: CodeRunner,
    gold: str,
    tests: Sequence[str],
    entry_points: tuple[str, ...],
    wrong: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Telling:
    """Judge a problem's tests before they judge anybody.

    Args:
        runner: where to judge.
        gold: a right solution.
        tests: the hidden tests.
        entry_points: names that they may call.
        wrong: wrong solutions to tell from the right one; five mutants of it if None.
        limits: of each verdict.

    Raises:
        ValueError: the right solution fails (a test that passes a function fails with every
            solution), one that does no work passes, or no wrong one is found out.
        SandboxError: the sandbox failed, which says nothing about the problem.
    """

    def judge(solution: str) -> Verdict:
        return runner.judge_calls(solution, tests, entry_points, limits)

    return _tell(judge, gold, stubs(entry_points), wrong)


def check_program(
    runner: CodeRunner,
    gold: str,
    cases: Sequence[IoCase],
    language: str = "python",
    limits: Limits = DEFAULT_LIMITS,
) -> Telling:
    """Judge a program's cases before they judge anybody.

    Args:
        runner: where to judge.
        gold: a right program.
        cases: what goes in and what must come out.
        language: of the program; only Python's are mutated, and only there is no work tried.
        limits: of each verdict.

    Raises:
        ValueError: the right program fails, one that does no work (that says nothing, what it is
            told, or always what is right at first) passes, or no mutant is found out.
        SandboxError: the sandbox failed, which says nothing about the problem.
    """

    def judge(program: str) -> Verdict:
        return runner.judge_io(program, cases, limits, language)

    if language != "python":
        return _tell(judge, gold, (), ())
    said = cases[0].stdout if cases else ""
    idle = ("", _ECHO, f"print({said!r}, end='')")
    return _tell(judge, gold, idle, None)


def check_idle(
    runner: CodeRunner,
    tests: Sequence[str] | Sequence[IoCase],
    entry_points: tuple[str, ...] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Judge what does no work, where nobody states a right solution.

    Args:
        runner: where to judge.
        tests: the hidden tests of functions, or the cases of a program.
        entry_points: names that tests may call.
        limits: of each verdict.

    Raises:
        ValueError: it passes.
        SandboxError: the sandbox failed, which says nothing about the problem.
    """
    cases = [case for case in tests if isinstance(case, IoCase)]
    texts = [test for test in tests if isinstance(test, str)]
    if cases:
        _refuse_idle(lambda program: runner.judge_io(program, cases, limits), ("", _ECHO))
    else:
        _refuse_idle(
            lambda code: runner.judge_calls(code, texts, entry_points, limits), stubs(entry_points)
        )


def _refuse_idle(judge: Callable[[str], Verdict], idle: Sequence[str]) -> None:
    for stub in idle:
        if _verdict(judge, stub).reward == 1.0:
            raise ValueError(f"tests: a solution that does no work passes them: {stub!r}")


def _tell(
    judge: Callable[[str], Verdict], gold: str, idle: Sequence[str], wrong: Sequence[str] | None
) -> Telling:
    right = _verdict(judge, gold)
    if right.reward != 1.0:
        raise ValueError(f"tests: the right solution fails them: {right.reason}")
    _refuse_idle(judge, idle)
    wrong = mutants(gold, _NUM_MUTANTS) if wrong is None else wrong
    verdicts = [_verdict(judge, each) for each in wrong]
    missed = tuple(w for w, v in zip(wrong, verdicts, strict=True) if v.reward == 1.0)
    if wrong and len(missed) == len(wrong):
        raise ValueError(f"tests: all of {len(wrong)} wrong solutions pass them, as {missed[0]!r}")
    return Telling(len(wrong) - len(missed), len(wrong), missed)


def _verdict(judge: Callable[[str], Verdict], solution: str) -> Verdict:
    verdict = judge(solution)
    if verdict.is_faulty:
        raise SandboxError(verdict.reason)
    return verdict
