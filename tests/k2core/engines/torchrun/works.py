"""Work for ranks, without a model: how it ends is what the tests are about."""

import os
import signal
import time
from pathlib import Path

import torch.distributed as dist
from torch import ones

from k2core.engines.torchrun.group import join_group
from k2core.reporting import Reporter
from schemas.placement import Placement


def meet(placement: Placement, report: Reporter) -> dict[str, object]:
    """Every rank's number, summed; rank 0 alone is heard."""
    ranks = join_group(placement)
    total = ones(1) * (ranks.rank + 1)
    dist.all_reduce(total)
    report.metrics(1, {"rank": float(ranks.rank)})
    threads = os.environ["OMP_NUM_THREADS"]
    said = {"total": float(total), "threads": threads, "agreed": ranks.agree(ranks.rank == 0)}
    return {**said, "shared": ranks.share(f"rank {ranks.rank}"), "all": ranks.collect(ranks.rank)}


def fail(placement: Placement, rank: int, error: Exception) -> None:
    """One rank raises; the others wait for it."""
    ranks = join_group(placement)
    if ranks.rank == rank:
        raise error
    dist.all_reduce(ones(1))


def vanish(placement: Placement, rank: int, how: str) -> None:
    """One rank is killed, or stands still; the others wait for it."""
    ranks = join_group(placement)
    dist.all_reduce(ones(1))
    if ranks.rank == rank:
        os.kill(os.getpid(), signal.Signals[how])
    dist.all_reduce(ones(1))


def sleep(folder: Path) -> None:
    """Say who we are, and stay."""
    (folder / f"pid-{os.getpid()}").touch()
    time.sleep(120)
