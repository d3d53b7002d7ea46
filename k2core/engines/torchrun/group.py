"""This process as a rank: its device, the process group, and errors that name the culprit."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, PrefixStore

from k2core.engines.torchrun.peers import PeerError, Peers, is_broken_collective, open_store
from schemas.placement import Placement

T = TypeVar("T")
_PATIENCE = timedelta(days=7)
"""Of ranks that wait while others have long work of their own, such as an upload."""


@dataclass(frozen=True)
class Ranks:
    """All ranks as seen by one of them."""

    rank: int
    num_ranks: int
    local_rank: int
    """Among those of this machine."""
    talk: dist.ProcessGroup | None
    """Of all, for small objects on the host; None if this rank is alone."""

    def patient(self) -> "Ranks":
        """The same ranks, which wait for each other however long it takes; all take part."""
        if self.talk is None:
            return self
        return replace(self, talk=dist.new_group(backend="gloo", timeout=_PATIENCE))

    def share(self, value: T) -> T:
        """What rank 0 has, to all."""
        if self.talk is None:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, group=self.talk)
        return box[0]

    def collect(self, value: T) -> list[T]:
        """What each has, in order, on rank 0; nothing on the others."""
        if self.talk is None:
            return [value]
        found = [value] * self.num_ranks if self.rank == 0 else None
        dist.gather_object(value, found, 0, group=self.talk)
        return found or []

    def agree(self, flag: bool) -> bool:
        """Whether all say so."""
        if self.talk is None:
            return flag
        votes = torch.tensor(int(flag))
        dist.all_reduce(votes, op=dist.ReduceOp.MIN, group=self.talk)
        return bool(votes)

    def wait(self) -> None:
        """Until all are here."""
        if self.talk is not None:
            dist.barrier(group=self.talk)


_joined: Ranks | None = None


def join_group(placement: Placement) -> Ranks:
    """Join the ranks that the launcher's environment describes, unless joined.

    The device comes first: what touches CUDA before it is chosen lands on the first one.

    Raises:
        ValueError: the launcher started another number of processes than the placement has ranks.
    """
    global _joined
    if _joined is None:
        _joined = _join(timedelta(seconds=placement.timeout_s))
    if torch.cuda.is_available():
        torch.cuda.set_device(_device_of(_joined.local_rank))  # of this thread
    if _joined.num_ranks != placement.num_ranks:
        raise ValueError(
            f"{_joined.num_ranks} processes joined and placement.num_ranks={placement.num_ranks}: "
            "make them equal"
        )
    return _joined


@contextmanager
def joined_ranks(placement: Placement) -> Iterator[Ranks]:
    """Work as one of the ranks; an error is told to the others, and theirs is named here.

    Raises:
        PeerError: another rank failed, or hung longer than `placement.timeout_s`.
    """
    ranks = join_group(placement)
    if _peers is None:
        yield ranks
        return
    try:
        yield ranks
    except PeerError:
        raise
    except Exception as error:
        if is_broken_collective(error):
            raise _peers.explain(error) from error
        _peers.tell(error)
        raise


def is_rank() -> bool:
    """Whether a launcher started this process as one of several."""
    return "RANK" in os.environ or _peers is not None


_peers: Peers | None = None


def _join(timeout: timedelta) -> Ranks:
    global _peers
    if "RANK" not in os.environ:
        alone = HashStore()
        dist.init_process_group(_backend(), store=alone, rank=0, world_size=1, timeout=timeout)
        return Ranks(0, 1, 0, None)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = None
    if torch.cuda.is_available():
        device = _device_of(local_rank)
        torch.cuda.set_device(device)
    store, rank, num_ranks = open_store(timeout)
    _peers = Peers(store, rank, num_ranks)
    dist.init_process_group(
        _backend(),
        store=PrefixStore("k2/group", store),
        rank=rank,
        world_size=num_ranks,
        timeout=timeout,
        device_id=device,
    )
    talk = dist.new_group(backend="gloo", timeout=timeout) if num_ranks > 1 else None
    if talk:  # who is done at once would leave others that are still joining
        dist.barrier(talk)
    return Ranks(rank, num_ranks, local_rank, talk)


def _device_of(local_rank: int) -> torch.device:
    """Of this machine's, or the one that is all that this process sees, as Ray has it."""
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def _backend() -> str:
    return "nccl" if torch.cuda.is_available() else "gloo"
