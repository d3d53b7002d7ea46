"""The sandbox of a cluster: one zygote pool an actor, on nodes that run nothing else."""

import itertools
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import ray

from k2core.engines.ray.actors import ActorGroup, fetch
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


class Sandboxes:
    """A pool's sandboxes; implements `k2core.sandbox.CodeRunner`. Jobs go round the actors.

    May be sent to other actors of the cluster, which then judge by the same sandboxes.

    Args:
        actors: handles of `SandboxActor`.
    """

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = tuple(actors)
        self._turns = itertools.count()

    def __reduce__(self) -> tuple[Any, ...]:
        return Sandboxes, (self._actors,)

    def run(
        self,
        source: str,
        stdin: str = "",
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> RunResult:
        """Run a program in one of the sandboxes."""
        result: RunResult = self._ask("run", source, stdin, limits, language)
        return result

    def run_prepared(
        self, setup: str, source: str, stdin: str, limits: Limits = DEFAULT_LIMITS
    ) -> RunResult:
        """Run a trusted script on untrusted input."""
        result: RunResult = self._ask("run_prepared", setup, source, stdin, limits)
        return result

    def judge_calls(
        self,
        solution: str,
        tests: Sequence[str],
        entry_points: tuple[str, ...],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verdict:
        """The share of `tests` that hold for the solution's `entry_points`."""
        verdict: Verdict = self._ask("judge_calls", solution, list(tests), entry_points, limits)
        return verdict

    def judge_io(
        self,
        solution: str,
        cases: Sequence[IoCase],
        limits: Limits = DEFAULT_LIMITS,
        language: str = "python",
    ) -> Verdict:
        """The share of cases whose output is right."""
        verdict: Verdict = self._ask("judge_io", solution, list(cases), limits, language)
        return verdict

    def _ask(self, method: str, *arguments: Any) -> Any:
        actor = self._actors[next(self._turns) % len(self._actors)]
        answer = getattr(actor, method).remote(*arguments)
        return fetch(answer, lambda said: SandboxError(f"the sandbox's actor is gone: {said}"))


class SandboxPool(ActorGroup):
    """Sandboxes in Ray actors; `runner` judges by them.

    An actor that dies is started anew and its jobs are tried again: its death is no verdict.

    Args:
        num_actors: how many; each takes one unit of the resource `sandbox` of a cluster.
        tiers: isolation to try, the strongest first.

    Raises:
        SandboxUnavailableError: the cluster has no node for model-written code, or no tier works.
    """

    kind = "sandboxes"

    def __init__(self, num_actors: int, tiers: tuple[Tier, ...] = ("A", "B")) -> None:
        try:
            super().__init__(num_actors, partial(_start_actors, num_actors, tiers), "which")
        except ray.exceptions.ActorDiedError as error:
            raise SandboxUnavailableError(f"a sandbox did not start: {error}") from error
        self.tiers = tuple(map(str, self.hellos))
        self.runner = Sandboxes(self.actors)


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
