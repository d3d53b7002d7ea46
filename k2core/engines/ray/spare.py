"""Processes of closed engines, kept for the next: importing vLLM takes longer than an engine.

A driver that runs several stages in turn holds `keep_engines`; a stage alone keeps nothing. Only
engines on CPU cores are kept: a GPU's memory comes back whole only with its process.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ray

from k2core.engines.ray.cluster import hold_cluster, release_cluster

if TYPE_CHECKING:
    from ray.actor import ActorHandle

_keepers = 0
_spare: "list[ActorHandle]" = []
"""Each holds the cluster once."""
_starting: threading.Thread | None = None
"""Puts more by."""


@contextmanager
def keep_engines() -> Iterator[None]:
    """Until this ends, engines that are closed leave their processes to those that come next."""
    global _keepers
    _keepers += 1
    try:
        yield
    finally:
        _keepers -= 1
        if not _keepers:
            drop_spare()


def leave_spare(actor: "ActorHandle") -> bool:
    """Keep it, its engine closed, if anybody wants it; False if nobody does."""
    if not _keepers or ray.cluster_resources().get("GPU", 0):
        return False
    actor.close.remote()
    put_by(actor)
    return True


def put_by(actor: "ActorHandle") -> None:
    """A process without an engine, for whoever asks next."""
    hold_cluster(0)
    _spare.append(actor)


def await_spare(starting: threading.Thread) -> None:
    """Whoever asks for processes waits for this thread, which puts them by."""
    global _starting
    _starting = starting


def _settle() -> None:
    global _starting
    if _starting is not None:
        _starting.join()
        _starting = None


@contextmanager
def reuse_spare(count: int) -> "Iterator[list[ActorHandle]]":
    """Up to so many that are alive; the cluster is held until the caller holds it too."""
    _settle()
    taken: list[ActorHandle] = []
    while _spare and len(taken) < count:
        actor = _spare.pop()
        try:
            ray.get(actor.ready.remote())
        except ray.exceptions.RayError:  # it died while it waited
            release_cluster()
        else:
            taken.append(actor)
    try:
        yield taken
    finally:
        for _ in taken:
            release_cluster()


def drop_spare() -> None:
    """End them: whoever starts something else has the whole cluster, or one of the right size."""
    _settle()
    while _spare:
        ray.kill(_spare.pop())
        release_cluster()
