"""Environments by name, as `Problem.environment` gives it."""

from collections.abc import Callable
from functools import partial

from k2core.environments.entities import ENTITIES
from k2core.environments.operations import CALCULATOR, LEDGER, RECORDS
from k2core.environments.simulator import Environment, Simulator
from schemas.chat import Problem

CALLED = "called"
"""`Problem.environment` where nothing executes calls: a dialogue ends with its first ones."""
ENVIRONMENTS: dict[str, Callable[[Problem], Environment]] = {
    "none": partial(Simulator, {}),
    CALLED: partial(Simulator, {}),
    "calculator": partial(Simulator, CALCULATOR),
    "records": partial(Simulator, RECORDS),
    "ledger": partial(Simulator, LEDGER),
    "entities": partial(Simulator, ENTITIES),
}
"""What opens a session; `none` answers every call with `unknown tool`."""


def open_environment(problem: Problem) -> Environment:
    """A fresh session for the problem.

    Raises:
        KeyError: no environment has that name; the message lists them.
    """
    if problem.environment not in ENVIRONMENTS:
        raise KeyError(
            f"{problem.problem_id}: no environment {problem.environment!r}; "
            f"there are {', '.join(ENVIRONMENTS)}"
        )
    return ENVIRONMENTS[problem.environment](problem)
