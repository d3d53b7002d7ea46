"""Opens problems' sessions with whatever environments they have, and closes what ran for them."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from k2core.agents.session import Session
from k2core.environments import OWN, OwnWorld
from k2core.environments.servers import MCP, Servers, ServerWorld
from k2core.sandbox import CodeRunner
from schemas.chat import Problem

OpenSession = Callable[[Problem], Session]


class Opening:
    """Opens sessions: simulated ones, live servers, and environments of somebody's own.

    Args:
        sandbox: where somebody's own code runs.
    """

    def __init__(self, sandbox: CodeRunner) -> None:
        self._sandbox, self._servers = sandbox, Servers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._servers.__exit__(kind, error, trace)

    def open(self, problem: Problem) -> Session:
        """A fresh session."""
        if problem.environment == OWN:
            world = OwnWorld(problem, self._sandbox)
            return Session(problem, world, world)
        if problem.environment == MCP:
            return Session(problem, ServerWorld(problem, self._servers))
        return Session(problem)
