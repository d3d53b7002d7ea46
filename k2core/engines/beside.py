"""Ranks of a trainer with engines beside it: where they are started decides who knows of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from k2core.reporting import Reporter
from schemas.placement import Placement

T = TypeVar("T")


def run_beside_engines(
    work: Callable[..., T], *inputs: object, placement: Placement, report: Reporter | None = None
) -> T:
    """Call `work(*inputs)` on every rank and return what rank 0 returns, which starts engines.

    On a cluster of Ray's, and wherever there are GPUs, ranks are Ray's actors: it places them
    together with the engines, and no GPU has two owners unawares. On this machine's CPU cores
    torchrun's agent starts them, which takes seconds less.

    Raises:
        RankError: a rank other than 0 failed, or one was lost; names it and its machine.
        RuntimeError: the cluster has no room for ranks and engines.
        Exception: as rank 0 raised it.
    """
    if os.environ.get("RAY_ADDRESS") or Path("/dev/nvidiactl").exists():
        from k2core.engines.ray.ranks import run_actors

        return run_actors(work, *inputs, placement=placement, report=report)
    from k2core.engines.torchrun import run_ranks

    return run_ranks(work, *inputs, placement=placement, report=report)
