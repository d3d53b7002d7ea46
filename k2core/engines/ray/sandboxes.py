"""The sandbox of a cluster: one zygote pool an actor, on nodes that run nothing else."""

import itertools
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import ray
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.sandbox import (
    IoCase,
    Limits,
    RunResult,
    Sandbox,
    SandboxError,
    SandboxUnavailableError,
    Verdict,
)
from k2core.sandbox.tiers import Tier
from k2core.sandbox.zygote import DEFAULT_LIMITS

RESOURCE = "sandbox"
"""What the nodes of the sandbox pool offer (infra/k8s/ray.yaml); no other node has it."""
_JOBS_AT_A_TIME = 8
_RETRIES = 3


class SandboxActor(Sandbox):
    """A sandbox as a Ray actor, started in the strongest tier that its pod allows."""

    def __init__(self, tiers: tuple[Tier, ...]) -> None:
        """Fail, rather than run without isolation."""
        started = Sandbox.start(tiers)
        self.__dict__.update(started.__dict__)

    def which(self) -> Tier:
        """The tier that works here; an actor has no attributes."""
        return self.tier


class SandboxPool:
    """Sandboxes in Ray actors; implements `k2core.sandbox.CodeRunner`. Jobs go round the actors.

    An actor that dies is started anew and its jobs are tried again: its death is no verdict.

    Args:
        num_actors: how many; each takes one unit of the resource `sandbox` of a cluster.
        tiers: isolation to try, the strongest first.

    Raises:
        SandboxUnavailableError: the cluster has no node for model-written code, or no tier works.
    """

    def __init__(self, num_actors: int, tiers: tuple[Tier, ...] = ("A", "B")) -> None:
        hold_cluster(num_actors)
        self._actors: list[Any] = []
        self._held = True
        try:
            self._actors = _start_actors(num_actors, tiers)
            self.tiers = tuple(str(ray.get(actor.which.remote())) for actor in self._actors)
        except ray.exceptions.ActorDiedError as error:
            self.close()
            raise SandboxUnavailableError(f"a sandbox did not start: {error}") from error
        except BaseException:
            self.close()
            raise
        self._turns = itertools.count()

    def run(
        self,
        source: str,
        stdin: str = "",
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> RunResult:
        """Run a program in one of the sandboxes."""
        result: RunResult = _get(self._next().run.remote(source, stdin, limits, language))
        return result

    def run_prepared(
        self, setup: str, source: str, stdin: str, limits: Limits = DEFAULT_LIMITS
    ) -> RunResult:
        """Run a trusted script on untrusted input."""
        result: RunResult = _get(self._next().run_prepared.remote(setup, source, stdin, limits))
        return result

    def judge_calls(
        self,
        solution: str,
        tests: Sequence[str],
        entry_points: tuple[str, ...],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verdict:
        """The share of `tests` that hold for the solution's `entry_points`."""
        asked = self._next().judge_calls.remote(solution, list(tests), entry_points, limits)
        verdict: Verdict = _get(asked)
        return verdict

    def judge_io(
        self,
        solution: str,
        cases: Sequence[IoCase],
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> Verdict:
        """The share of cases whose output is right."""
        asked = self._next().judge_io.remote(solution, list(cases), limits, language)
        verdict: Verdict = _get(asked)
        return verdict

    def close(self) -> None:
        """Kill the actors, with whose process their jobs end; stop Ray if started for them."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._held:
            self._held = False
            release_cluster()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> Any:
        if not self._actors:
            raise RuntimeError("the sandboxes are closed")
        return self._actors[next(self._turns) % len(self._actors)]


def _start_actors(num_actors: int, tiers: tuple[Tier, ...]) -> list[Any]:
    offered = ray.cluster_resources().get(RESOURCE, 0)
    if os.environ.get("RAY_ADDRESS") and offered < num_actors:
        raise SandboxUnavailableError(
            f"{num_actors} sandboxes need as many units of the resource {RESOURCE!r}, and the "
            f"cluster offers {offered:g}: start its sandbox workers (infra/k8s/ray.yaml)"
        )
    actor = ray.remote(SandboxActor).options(
        num_cpus=0,
        resources={RESOURCE: 1} if offered else {},
        max_concurrency=_JOBS_AT_A_TIME,
        max_restarts=-1,
        max_task_retries=_RETRIES,
    )
    return [actor.remote(tiers) for _ in range(num_actors)]


def _get(answer: Any) -> Any:
    """The answer; a lost actor is the sandbox's failure."""
    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else SandboxError(str(error))) from error
    except ray.exceptions.RayError as error:
        raise SandboxError(f"the sandbox's actor is gone: {error}") from error
