"""A group of Ray actors and the cluster that they live in, held until the group is closed."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import ray

from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.spare import drop_spare

if TYPE_CHECKING:
    from ray.actor import ActorHandle

_ROOT = Path(__file__).resolve().parents[3]


class ActorGroup:
    """Actors that were started together, answer to one driver and end together.

    Args:
        num_actors: how many; a cluster of this machine's own is made large enough.
        launch: starts them, once there is a cluster.
        hello: the method that each is asked first, with its arguments; the group stands when all
            have answered.
    """

    kind = "actors"
    """What they are, for messages."""

    def __init__(
        self,
        num_actors: int,
        launch: "Callable[[], Sequence[ActorHandle]]",
        hello: str,
        *arguments: object,
    ) -> None:
        drop_spare()
        hold_cluster(num_actors)
        self._held = True
        self._actors: tuple[ActorHandle, ...] = ()
        try:
            self._actors = tuple(launch())
            self.hellos: list[Any] = self.ask_all(hello, *arguments)
        except BaseException:
            self.close()
            raise

    @property
    def actors(self) -> "tuple[ActorHandle, ...]":
        """Their handles.

        Raises:
            RuntimeError: the group is closed.
        """
        if not self._actors:
            raise RuntimeError(f"the {self.kind} are closed")
        return self._actors

    def ask_all(self, method: str, *arguments: object) -> list[Any]:
        """What each answers to the same call, in their order."""
        return list(ray.get([getattr(a, method).remote(*arguments) for a in self.actors]))

    def close(self) -> None:
        """Kill the actors, with whose processes their work ends; stop Ray if started for them."""
        for actor in self._actors:
            self._end(actor)
        self._actors = ()
        if self._held:
            self._held = False
            release_cluster()

    def _end(self, actor: "ActorHandle") -> None:
        ray.kill(actor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def python_path() -> str:
    """`PYTHONPATH` under which an actor finds these sources, wherever its worker was started."""
    return os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))


def fetch(answer: Any, lost: Callable[[str], Exception]) -> Any:
    """Wait for an actor's answer.

    Args:
        answer: what `.remote()` gave.
        lost: the error for an actor that is gone for good, from the words of what happened.

    Raises:
        Exception: what the actor's method raised, as it raised it.
    """
    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else lost(str(error))) from error
    except ray.exceptions.RayError as error:
        raise lost(str(error)) from error
