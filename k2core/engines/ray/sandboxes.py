"""The sandbox of a cluster: one zygote pool an actor, on nodes that run nothing else."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import ray

from k2core.engines.ray.actors import ActorGroup, fetch
from k2core.sandbox import CodeRunner, Sandbox, SandboxError, SandboxUnavailableError
from k2core.sandbox.protocol import Asked
from k2core.sandbox.tiers import Tier

if TYPE_CHECKING:
    from ray.actor import ActorHandle

_T = TypeVar("_T")
RESOURCE = "sandbox"
"""What the nodes of the sandbox pool offer (`infra.pools`); no other node has it."""
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


class Sandboxes(CodeRunner):
    """A pool's sandboxes. Jobs go round the actors.

    May be sent to other actors of the cluster, which then judge by the same sandboxes.

    Args:
        actors: handles of `SandboxActor`.
    """

    def __init__(self, actors: "Sequence[ActorHandle]") -> None:
        self._actors = tuple(actors)
        self._turns = itertools.count()

    def __reduce__(self) -> tuple[Any, ...]:
        return Sandboxes, (self._actors,)

    def ask(self, job: Asked[_T]) -> _T:
        """Do a job in the sandbox whose turn it is."""
        actor = self._actors[next(self._turns) % len(self._actors)]
        done: _T = fetch(
            actor.ask.remote(job), lambda said: SandboxError(f"the sandbox's actor is gone: {said}")
        )
        return done


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


def _start_actors(num_actors: int, tiers: tuple[Tier, ...]) -> "list[ActorHandle]":
    offered = ray.cluster_resources().get(RESOURCE, 0)
    if os.environ.get("RAY_ADDRESS") and offered < num_actors:
        raise SandboxUnavailableError(
            f"{num_actors} sandboxes need as many units of the resource {RESOURCE!r}, and the "
            f"cluster offers {offered:g}: start its sandbox workers (infra/pools.py)"
        )
    actor = ray.remote(SandboxActor).options(
        num_cpus=0,
        resources={RESOURCE: 1} if offered else {},
        max_concurrency=_JOBS_AT_A_TIME,
        max_restarts=-1,
        max_task_retries=_RETRIES,
    )
    return [actor.remote(tiers) for _ in range(num_actors)]


@contextmanager
def open_runner(*, unsafe: bool) -> Iterator[CodeRunner]:
    """Runs code that a model wrote: on the nodes that a cluster has for it, else in this machine.

    Args:
        unsafe: on this machine, without isolation where none works.

    Raises:
        SandboxUnavailableError: no isolation works, and `unsafe` does not allow to go without.
    """
    offered = int(ray.cluster_resources().get(RESOURCE, 0)) if ray.is_initialized() else 0
    if offered:
        with SandboxPool(offered) as pool:
            yield pool.runner
    else:
        with Sandbox.start(unsafe=unsafe) as sandbox:
            yield sandbox
