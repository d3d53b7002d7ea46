"""Whether the hidden tests of somebody's own code problems can be passed, and tell."""

from itertools import islice
from typing import cast

from k2core.problems import ProblemSourceError, own_families
from k2core.rewards.gold import gold_answer
from k2core.rewards.verifiable import with_setup
from k2core.sandbox import CodeRunner, IoCase, check_problem, check_program
from schemas.chat import Problem
from schemas.problems import FileSource, ProblemsConfig

_PER_SOURCE = 100
_SHOWN = 3


def find_doubt(problem: Problem, runner: CodeRunner) -> str:
    """What is wrong with a problem's hidden tests; empty where nothing is, or nothing tells.

    A row of code that states its `solution` can be judged: the solution must pass, and what does
    no work must not, nor every mutant of the solution.

    Raises:
        SandboxError: the sandbox failed, which says nothing about the problem.
    """
    solution, expected = gold_answer(problem), problem.expected
    try:
        if solution is not None and problem.verifier == "python_function":
            tests, names = (cast("list[str]", expected[k]) for k in ("tests", "entry_points"))
            check_problem(runner, with_setup(expected, solution), tests, tuple(names))
        elif solution is not None and problem.verifier == "program":
            given = cast("list[dict[str, str]]", expected["cases"])
            cases = [IoCase(str(case["stdin"]), str(case["stdout"])) for case in given]
            check_program(runner, solution, cases, str(expected.get("language", "python")))
    except ValueError as error:
        return str(error)
    return ""


def check_own_tests(problems: ProblemsConfig, runner: CodeRunner) -> int:
    """Judge the hidden tests of the first problems of each file of code.

    Returns:
        How many were judged.

    Raises:
        SourceError: more of them cannot judge than the source's `max_faulty_frac` allows; names
            the first.
        SandboxError: the sandbox failed.
    """
    num_judged = 0
    for source in problems.sources.all:
        if not isinstance(source, FileSource):
            continue
        family = own_families(problems)[source.name]
        found = (p for split in family.splits.values() for p in split)
        chosen = list(islice((p for p in found if _is_judgeable(p)), _PER_SOURCE))
        doubts = [f"{p.problem_id}: {said}" for p in chosen if (said := find_doubt(p, runner))]
        if len(doubts) > source.max_faulty_frac * len(chosen):
            raise ProblemSourceError(
                f"{source.name}: of the first {len(chosen)} problems of {source.path} with a "
                f"solution, the tests of {len(doubts)} cannot judge, more than max_faulty_frac="
                f"{source.max_faulty_frac:g} allows. {'; '.join(doubts[:_SHOWN])}. "
                "`k2 problems check --all` shows all"
            )
        num_judged += len(chosen)
    return num_judged


def _is_judgeable(problem: Problem) -> bool:
    return problem.verifier in ("python_function", "program") and gold_answer(problem) is not None
