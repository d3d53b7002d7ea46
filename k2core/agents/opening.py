"""Opens a problem's session with whatever environment it has."""

from collections.abc import Callable

from k2core.agents.session import Session
from k2core.environments import OWN, OwnWorld
from k2core.sandbox import CodeRunner
from schemas.chat import Problem

OpenSession = Callable[[Problem], Session]


def open_session(problem: Problem, sandbox: CodeRunner) -> Session:
    """A fresh session; an environment of somebody's own runs in the sandbox."""
    if problem.environment != OWN:
        return Session(problem)
    world = OwnWorld(problem, sandbox)
    return Session(problem, world, world)
