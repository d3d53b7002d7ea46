"""Where a trainer's ranks and engines' workers meet, and the groups that they form there.

The groups are apart from those in which ranks train and engines compute. They are torch's own, of
NCCL between GPUs and of gloo between CPU cores, and used alike: everything is a broadcast.
"""

import itertools
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import (
    Backend,
    PrefixStore,
    ProcessGroup,
    ProcessGroupGloo,
    TCPStore,
    Work,
)

PATIENCE_S = 600.0
"""How long the others may take to come, and to bring or take a bucket."""
_numbers = itertools.count()


class WireError(RuntimeError):
    """Weights did not arrive; says whose and which."""


class WireGroup:
    """Processes of which one has bytes for the others.

    Args:
        group: who has no other owner: gloo lets the others know when it goes, not by any call.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self._group: ProcessGroup | None = group
        self._under_way = deque[Work]()

    def broadcast(self, data: Tensor, root: int) -> None:
        """Begin; the data stay as they are until this was waited for."""
        if self._group is None:
            raise RuntimeError("the group was left")
        self._under_way.append(self._group.broadcast(data, root))

    def wait(self) -> None:
        """For the earliest that was not waited for; on GPUs the current stream does."""
        self._under_way.popleft().wait()

    def close(self) -> None:
        """Leave; whoever waits in it fails at once."""
        if self._group is not None:
            self._group.abort()
        self._under_way.clear()
        self._group = None


class MeetingPoint(NamedTuple):
    """A store that all can reach; picklable."""

    address: str
    port: int
    owners: tuple[int, ...]
    """Ranks of the trainer that have tensors to send."""
    num_workers: int
    """Of all engines together."""
    gpu: bool
    number: int
    """Of the process that opened it: another meeting may get the same port."""
    patience_s: float = PATIENCE_S

    def entry(self, owner: int) -> int:
        """The worker that a rank sends to: dealt out, so that each has as many lanes."""
        return self.owners.index(owner) % self.num_workers

    def join_lane(self, owner: int, place: int) -> WireGroup:
        """A rank, in place 0, and its entry, in place 1."""
        return self._join(f"lane/{owner}", place, 2)

    def join_workers(self, worker: int) -> WireGroup:
        """All workers, and no rank."""
        return self._join("workers", worker, self.num_workers)

    def _join(self, name: str, place: int, size: int) -> WireGroup:
        patience = timedelta(seconds=self.patience_s)
        store = PrefixStore(name, TCPStore(self.address, self.port, timeout=patience))
        group = ProcessGroup(store, place, size)
        backend: Backend
        if self.gpu:
            device, kind = torch.device("cuda"), ProcessGroup.BackendType.NCCL
            nccl = dist.ProcessGroupNCCL.Options()
            nccl._timeout = patience
            backend = dist.ProcessGroupNCCL(store, place, size, nccl)
        else:
            device, kind = torch.device("cpu"), ProcessGroup.BackendType.GLOO
            gloo = ProcessGroupGloo._Options()  # type: ignore[attr-defined]
            gloo._timeout = patience
            here = _address_towards(self.address, self.port)
            gloo._devices = [ProcessGroupGloo.create_device(hostname=here)]
            backend = ProcessGroupGloo(store, place, size, gloo)
        group._set_default_backend(kind)
        backend._set_sequence_number_for_group()
        group._register_backend(device, kind, backend)
        return WireGroup(group)


class Meeting(NamedTuple):
    """The point and its store, which lasts as long as this is kept."""

    point: MeetingPoint
    store: TCPStore


def open_meeting(
    address: str,
    owners: tuple[int, ...],
    num_workers: int,
    *,
    gpu: bool,
    patience_s: float = PATIENCE_S,
) -> Meeting:
    """Open a store in this process, on any free port.

    Args:
        address: of this machine, as the others reach it.
        owners: as `MeetingPoint` has them.
        num_workers: the same.
        gpu: weights are on GPUs, on both sides.
        patience_s: as `PATIENCE_S` by default.
    """
    patience = timedelta(seconds=patience_s)
    store = TCPStore(address, 0, is_master=True, wait_for_workers=False, timeout=patience)
    number = next(_numbers)
    point = MeetingPoint(address, store.port, owners, num_workers, gpu, number, patience_s)
    return Meeting(point, store)


@contextmanager
def blamed(what: object, said: str) -> Iterator[None]:
    """Name what broke off.

    Raises:
        WireError: in place of what torch says of a group.
    """
    try:
        yield
    except RuntimeError as error:
        raise WireError(f"{what} {said}: {error}") from error


def _address_towards(address: str, port: int) -> str:
    """This machine's, in the network in which it reaches another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, port))
        return str(probe.getsockname()[0])
