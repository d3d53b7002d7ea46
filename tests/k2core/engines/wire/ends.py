"""Engines' workers without an engine: processes that take what a trainer's ranks send."""

import multiprocessing
import os
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from k2core.engines.wire import MeetingPoint, WeightReceiver, WireBucket

NUM_WORKERS = 2


class Announced(NamedTuple):
    """What workers are told."""

    point: MeetingPoint
    plan: list[WireBucket]


def announce(folder: Path, name: str, told: Announced) -> None:
    """To all workers that wait for it."""
    (folder / f"{name}.part").write_bytes(pickle.dumps(told))
    (folder / f"{name}.part").rename(folder / f"{name}.told")


def take(folder: Path, names: Sequence[str], worker: int) -> None:
    """Two rounds of each wire; the tensors of the second are written."""
    for name in names:
        file = folder / f"{name}.told"
        while not file.exists():
            time.sleep(0.01)
            if os.getppid() == 1:  # nobody is left who would announce it
                return
        told: Announced = pickle.loads(file.read_bytes())
        receiver = WeightReceiver(told.point, told.plan, worker, torch.device("cpu"))
        for _ in range(2):
            found = {n: t for b, data in receiver.receive() for n, t in b.views(data)}
        receiver.close()
        torch.save({n: t.clone() for n, t in found.items()}, written(folder, name, worker))


def written(folder: Path, name: str, worker: int) -> Path:
    """Where a worker leaves what it was sent."""
    return folder / f"{name}-{worker}.pt"


@contextmanager
def workers(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """While they wait; all is written when this ends well."""
    context = multiprocessing.get_context("forkserver")
    running = [
        context.Process(target=take, args=(folder, names, worker), daemon=True)
        for worker in range(NUM_WORKERS)
    ]
    for process in running:
        process.start()
    try:
        yield
        for process in running:
            process.join(60)
            assert process.exitcode == 0
    finally:
        for process in running:
            process.kill()
