"""Sessions in Ray actors: many at once over a cluster, each what it is in one process."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import ray

from k2core.engines.ray.actors import ActorGroup, fetch, python_path
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.sandboxes import RESOURCE, SandboxPool
from k2core.engines.ray.spare import drop_spare
from k2core.sandbox import CodeRunner

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

T = TypeVar("T")
PlayBatch = Callable[[str, Sequence[int]], list[T]]
"""Plays the sessions of a kind by their numbers; what comes of one depends on its number alone."""
OpenBatch = Callable[[CodeRunner | None], AbstractContextManager[PlayBatch[T]]]
"""Opens what sessions are played with, in the actor; None asks for a sandbox of its own."""
_AHEAD = 2
"""Batches that an actor has: one that it plays, one that waits."""
_RETRIES = 3


class SessionActor(Generic[T]):
    """Plays sessions in a process of its own, with what it opened once."""

    def __init__(self, open_batch: Callable[[], AbstractContextManager[PlayBatch[T]]]) -> None:
        self._play = ExitStack().enter_context(open_batch())  # closed by the process's end

    def ready(self) -> bool:
        """Whether all was opened."""
        return True

    def play(self, kind: str, numbers: Sequence[int]) -> list[T]:
        """What came of these sessions, in their order."""
        return self._play(kind, numbers)


class SessionsLostError(RuntimeError):
    """An actor died again and again; nothing is known of its sessions."""


class SessionPool(ActorGroup, Generic[T]):
    """Plays sessions in actors, one core each.

    An actor that dies is started anew and its batch is played again, to the same result.

    Args:
        num_actors: how many.
        open_batch: opens, in each actor, what sessions are played with; must be picklable.
    """

    kind = "session actors"

    def __init__(
        self, num_actors: int, open_batch: Callable[[], AbstractContextManager[PlayBatch[T]]]
    ) -> None:
        def launch() -> "list[ActorHandle]":
            actor = ray.remote(SessionActor).options(
                num_cpus=1,
                max_restarts=-1,
                max_task_retries=_RETRIES,
                runtime_env={"env_vars": {"PYTHONPATH": python_path()}},
            )
            return [actor.remote(open_batch) for _ in range(num_actors)]

        super().__init__(num_actors, launch, "ready")

    def play(self, kind: str, batches: Iterable[Sequence[int]]) -> Iterator[T]:
        """What comes of all sessions, in their order; the next batch goes to whoever is free.

        Raises:
            SessionsLostError: an actor is gone for good.
            Exception: what a session raised.
        """
        free = deque(self.actors * _AHEAD)
        running: dict[ObjectRef[list[T]], ActorHandle] = {}
        ordered = deque["ObjectRef[list[T]]"]()
        for batch in batches:
            if not free:
                done, _ = ray.wait(list(running), num_returns=1)
                free.append(running.pop(done[0]))
            actor = free.popleft()
            ordered.append(answer := actor.play.remote(kind, batch))
            running[answer] = actor
            while ordered and ordered[0] not in running:
                yield from fetch(ordered.popleft(), _lost)
        for answer in ordered:
            yield from fetch(answer, _lost)


def _lost(said: str) -> SessionsLostError:
    return SessionsLostError(f"a session actor died {_RETRIES + 1} times: {said}")


@contextmanager
def open_sessions(num_actors: int, open_batch: OpenBatch[T]) -> Iterator[SessionPool[T]]:
    """A pool of session actors, and sandboxes for them where the cluster has nodes for these.

    Code that a model wrote then runs on those nodes alone; elsewhere each actor opens a sandbox.
    """
    with ExitStack() as stack:
        drop_spare()
        hold_cluster(num_actors)
        stack.callback(release_cluster)
        runner = None
        if offered := int(ray.cluster_resources().get(RESOURCE, 0)):
            runner = stack.enter_context(SandboxPool(min(num_actors, offered))).runner
        yield stack.enter_context(SessionPool(num_actors, partial(open_batch, runner)))
