"""A trainer's ranks as Ray actors, placed together with their engines; the program is torchrun's.

Ray starts a process a rank and says which GPU it has; the ranks then meet as torchrun's do. Batches
and weights go between ranks and engines: the stage's process hears what rank 0 reports, and how the
work ended.
"""

import contextlib
import os
import pickle
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import ray

from k2core.engines.ray.actors import ActorGroup, python_path
from k2core.engines.ray.room import Room, live_in, open_room
from k2core.engines.torchrun.canary import Canary
from k2core.engines.torchrun.desk import DeskReporter, Said, pass_on
from k2core.engines.torchrun.job import (
    Failure,
    RankJob,
    first_cause,
    pack_failure,
    pack_job,
    unpack_failure,
    unpack_job,
)
from k2core.engines.torchrun.peers import RankError
from k2core.engines.torchrun.rank import SETTINGS, work_as_rank
from k2core.reporting import Reporter, Silent
from schemas.placement import Placement

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

T = TypeVar("T")
_POLL_S = 1.0
_LAST_WORDS_S = 10.0
"""Once a rank is lost or let down: how long the others have to say what it was."""


class RankHome(NamedTuple):
    """Where a rank lives."""

    node: str
    host: str
    address: str
    port: int
    """A free one, should this be rank 0."""


class Ended(NamedTuple):
    """How the work ended on a rank, pickled."""

    value: bytes = b""
    """Of rank 0."""
    failure: bytes = b""


@dataclass
class _Found:
    """What was heard of all ranks."""

    value: bytes = b""
    lost: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class RankActor:
    """One rank; what it is, it is told before anything touches a device."""

    def __init__(self, room: Room) -> None:
        live_in(room)
        self._said = SimpleQueue[Said | None]()
        self._answers = SimpleQueue[Exception | None]()

    def meet(self) -> RankHome:
        """Where this is."""
        with socket.socket() as free:
            free.bind(("", 0))
            port = int(free.getsockname()[1])
        node = ray.get_runtime_context().get_node_id()
        return RankHome(node, socket.gethostname(), ray.util.get_node_ip_address(), port)

    def work(self, job: bytes, environ: Mapping[str, str]) -> Ended:
        """The job, as the rank that the environment describes."""
        import torch

        os.environ.update(environ)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _interface(ray.util.get_node_ip_address()))
        torch.set_num_threads(1)
        rank = int(environ["RANK"])
        try:
            value = work_as_rank(unpack_job(job, Silent() if rank else DeskReporter(self._ask)))
            return Ended(value=b"" if rank else pickle.dumps(value, protocol=5))
        except Exception as error:  # the stage's process raises it
            return Ended(failure=pack_failure(rank, error))
        finally:
            self._said.put(None)

    @ray.method(concurrency_group="mail")
    def hear(self) -> Iterator[Said]:
        """What is reported, one call after another; each waits for its answer."""
        while (said := self._said.get()) is not None:
            yield said

    @ray.method(concurrency_group="mail")
    def answer(self, error: Exception | None) -> None:
        """How the reporter took it."""
        self._answers.put(error)

    def _ask(self, said: Said) -> Exception | None:
        self._said.put(said)
        return self._answers.get()


class RankGroup(ActorGroup):
    """All ranks, in a room with their engines.

    Raises:
        RuntimeError: the cluster has no such room.
    """

    kind = "ranks"

    def __init__(self, placement: Placement) -> None:
        self._room: Room | None = None
        wanted = placement.num_ranks + placement.serving.num_engines * placement.serving.devices
        super().__init__(wanted, partial(self._launch, placement), "meet")
        self._met: list[RankHome] = self.hellos

    def run(self, job: bytes, report: Reporter) -> object:
        """Do a job on all ranks; what rank 0 returns.

        Raises:
            RankError: a rank other than 0 failed, or one was lost; names it and its machine.
            Exception: as rank 0 raised it.
        """
        hearing = threading.Thread(target=self._hear, args=(report,), daemon=True)
        hearing.start()
        pairs = zip(self.actors, describe_ranks(self._met), strict=True)
        working = {a.work.remote(job, e): rank for rank, (a, e) in enumerate(pairs)}
        with Canary() as canary:
            found = self._wait(working, canary)
        if found.lost and all(failure.let_down for failure in found.failures):
            raise RankError("; ".join(found.lost))
        if cause := first_cause(found.failures):
            raise cause
        hearing.join()
        return pickle.loads(found.value)

    def _wait(self, working: "dict[ObjectRef[Ended], int]", canary: Canary) -> "_Found":
        """Until all have ended or one says its error; after one let down others have a while."""
        found, end = _Found(), float("inf")
        while working and time.monotonic() < end and all(f.let_down for f in found.failures):
            canary.check()
            done, _ = ray.wait(list(working), num_returns=1, timeout=_POLL_S)
            for answer in done:
                rank = working.pop(answer)
                try:
                    value, failure = ray.get(answer)
                except ray.exceptions.RayError as error:
                    host = self._met[rank].host
                    found.lost.append(f"rank {rank} on {host} was lost: {_shorten(error)}")
                else:
                    found.value = found.value or value
                    found.failures += [unpack_failure(failure)] if failure else []
            if found.lost or found.failures:
                end = min(end, time.monotonic() + _LAST_WORDS_S)
        return found

    def close(self) -> None:
        """End the ranks, whose engines end with them, and give back their room."""
        if self._room is not None:
            self._room.close()
            self._room = None
        super().close()

    def _launch(self, placement: Placement) -> "list[ActorHandle]":
        self._room = room = open_room(placement)
        actor = ray.remote(concurrency_groups={"mail": 2})(RankActor)
        environment = {"env_vars": {**SETTINGS, "PYTHONPATH": python_path()}}
        return [
            actor.options(**room.rank_options(rank), runtime_env=environment).remote(room)
            for rank in range(placement.num_ranks)
        ]

    def _hear(self, report: Reporter) -> None:
        first = self.actors[0]
        with contextlib.suppress(ray.exceptions.RayError):  # `run` says what became of it
            for said in first.hear.options(num_returns="streaming").remote():
                first.answer.remote(pass_on(ray.get(said), report))


def run_actors(
    work: Callable[..., T], *inputs: object, placement: Placement, report: Reporter | None = None
) -> T:
    """As `k2core.engines.torchrun.run_ranks`, in actors of Ray's cluster."""
    report = report or Silent()
    job = pack_job(RankJob(work, inputs, placement), report)
    with RankGroup(placement) as group:
        return cast("T", group.run(job, report))


def describe_ranks(met: Sequence[RankHome]) -> list[dict[str, str]]:
    """The variables of each, as torchrun's agents set them."""
    sizes, seen = Counter(one.node for one in met), Counter[str]()
    found = []
    for rank, one in enumerate(met):
        found.append(
            {
                "RANK": str(rank),
                "WORLD_SIZE": str(len(met)),
                "LOCAL_RANK": str(seen[one.node]),
                "LOCAL_WORLD_SIZE": str(sizes[one.node]),
                "MASTER_ADDR": met[0].address,
                "MASTER_PORT": str(met[0].port),
            }
        )
        seen[one.node] += 1
    return found


def _interface(address: str) -> str:
    """The network that a machine has this address in."""
    import psutil

    for name, found in psutil.net_if_addrs().items():
        if address in (one.address for one in found):
            return str(name)
    return "lo"


def _shorten(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:8])
