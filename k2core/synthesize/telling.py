"""Before anything is played: can the hidden tests of generated code be passed, and do they tell?"""

from itertools import islice

from k2core.problems import FAMILIES, Posed, Say, pose_training
from k2core.sandbox import CodeRunner, check_problem
from schemas.problems import ProblemsConfig

_PER_FAMILY = 3
_LOOKED_AT = 400
"""Problems among which these are sought."""
_CODE = "python_function"


def check_code(problems: ProblemsConfig, runner: CodeRunner) -> int:
    """Judge the first problems of each family of code by their own experts, and by wrong solutions.

    Returns:
        How many were checked.

    Raises:
        ValueError: a problem's tests fail its gold solution, or tell it from no wrong one.
        SandboxError: the sandbox failed.
    """
    if not any(problems.families.values()):
        return 0
    found: dict[str, list[Posed]] = {}
    for index in range(_LOOKED_AT):
        posed = pose_training(problems, index)
        if posed.problem.verifier == _CODE:
            found.setdefault(posed.problem.family, []).append(posed)
    chosen = [posed for family in found.values() for posed in islice(family, _PER_FAMILY)]
    for posed in chosen:
        _check(posed, runner)
    return len(chosen)


def _check(posed: Posed, runner: CodeRunner) -> None:
    problem = posed.problem
    said = next(iter(FAMILIES[problem.family].act(posed, shortcut=False)))
    if not isinstance(said, Say):
        raise TypeError(f"{problem.problem_id}: the expert of a family of code writes code first")
    tests, names = problem.expected["tests"], problem.expected["entry_points"]
    if not isinstance(tests, list) or not isinstance(names, list):
        raise TypeError(f"{problem.problem_id}: expected.tests and expected.entry_points are lists")
    try:
        check_problem(runner, said.text, [str(test) for test in tests], tuple(map(str, names)))
    except ValueError as error:
        raise ValueError(f"{problem.problem_id}: {error}") from error
