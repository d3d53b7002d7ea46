"""Whether somebody's own problems can be solved at all, and what judges them can tell."""

from itertools import islice
from typing import cast

from k2core.problems import ProblemSourceError, own_families
from k2core.problems.bank import SourceFamily
from k2core.rewards.gold import answered, gold_answer, gold_outcome, wrong_answer
from k2core.rewards.verifiable import verify, with_setup
from k2core.sandbox import CodeRunner, IoCase, Verdict, check_idle, check_problem, check_program
from schemas.chat import Problem
from schemas.problems import FileSource, ProblemsConfig

_PER_SOURCE = 100
_SHOWN = 3
_JUDGED = ("python_function", "program", "expression")


def find_doubt(problem: Problem, runner: CodeRunner) -> str:
    """What is wrong with how a problem is judged; empty where nothing is, or nothing tells.

    Of code what does no work must not pass; where a row states its `solution`, this must, and not
    every mutant of it. Of mathematics the reference answer must pass.

    Raises:
        SandboxError: the sandbox failed, which says nothing about the problem.
    """
    solution, expected = gold_answer(problem), problem.expected
    try:
        if problem.verifier == "python_function":
            tests, names = (cast("list[str]", expected[k]) for k in ("tests", "entry_points"))
            if solution is None:
                check_idle(runner, tests, tuple(names))
            else:
                check_problem(runner, with_setup(expected, solution), tests, tuple(names))
        elif problem.verifier == "program":
            given = cast("list[dict[str, str]]", expected["cases"])
            cases = [IoCase(str(case["stdin"]), str(case["stdout"])) for case in given]
            if solution is None:
                check_idle(runner, cases)
            else:
                check_program(runner, solution, cases, str(expected.get("language", "python")))
        elif (right := gold_outcome(problem)) and problem.verifier == "expression":
            verdict = verify(problem, right, runner)
            if verdict.reward < 1.0:
                return f"its own answer {solution!r} does not pass: {verdict.reason}"
    except ValueError as error:
        return str(error).removeprefix(f"{problem.problem_id}: ")
    return ""


def check_own_tests(problems: ProblemsConfig, runner: CodeRunner) -> int:
    """Judge the hidden tests, or the reference answers, of the first problems of each file.

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
        if source.code is not None:
            _check_function(source, family, runner)
        found = (p for split in family.splits.values() for p in split)
        chosen = list(islice((p for p in found if _is_judgeable(p)), _PER_SOURCE))
        doubts = [
            f"row {family.rows[p.problem_id]}, {p.problem_id}: {said}"
            for p in chosen
            if (said := find_doubt(p, runner))
        ]
        if len(doubts) > source.max_faulty_frac * len(chosen):
            raise ProblemSourceError(
                f"{source.name}: of the first {len(chosen)} problems of {source.path}, "
                f"{len(doubts)} cannot be judged, more than max_faulty_frac="
                f"{source.max_faulty_frac:g} allows. {'; '.join(doubts[:_SHOWN])}. "
                "`k2 problems check --all` shows all"
            )
        num_judged += len(chosen)
    return num_judged


def _check_function(source: FileSource, family: SourceFamily, runner: CodeRunner) -> None:
    """Run somebody's own function on right and wrong answers to the first problems.

    Raises:
        ProblemSourceError: it judges none of them.
    """
    found = list(islice((p for split in family.splits.values() for p in split), _SHOWN))
    said = list[Verdict]()
    for problem in found:
        right = gold_outcome(problem)
        said += [verify(problem, right, runner)] if right else []
        said.append(verify(problem, answered(problem, wrong_answer(problem)), runner))
    if said and all(verdict.is_faulty for verdict in said):
        raise ProblemSourceError(
            f"{source.name}: the function judges none of {len(said)} answers. {said[0].reason}. "
            "It is given the parameters that it names, and returns a number from 0 to 1; "
            "`k2 problems check` runs it"
        )


def _is_judgeable(problem: Problem) -> bool:
    if problem.verifier not in _JUDGED:
        return False
    return problem.verifier != "expression" or gold_answer(problem) is not None
