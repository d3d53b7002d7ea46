"""What is asked of ranks, whoever starts them: torchrun's agent on a machine, or Ray on nodes."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from k2core.engines.torchrun import RankError
from k2core.reporting import Silent
from schemas.placement import Placement, Serving
from tests.k2core.engines.torchrun import works

TWO = Placement(num_ranks=2, timeout_s=3, serving=Serving(num_engines=1))
HOST = socket.gethostname()
MET = {"total": 3.0, "threads": "1", "agreed": False, "shared": "rank 0", "all": [0, 1]}
"""What `works.meet` finds on two ranks."""


class Heard(Silent):
    """A reporter that cannot travel to a rank."""

    def __init__(self) -> None:
        self.points: list[Mapping[str, float]] = []
        self.lock = open(os.devnull)  # noqa: SIM115, PTH123 - no pickle takes it

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append(values)


class TrackingError(Exception):
    """Of a kind that cannot travel."""

    def __init__(self, server: str, run: str) -> None:
        super().__init__(f"{server} has no run {run}")


class Refused(Silent):
    """A reporter that fails: as when a run is stopped from outside."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        raise TrackingError("the server", "r1")


class Failing(NamedTuple):
    """Work that fails on two ranks, and what the stage is told."""

    work: Callable[..., object]
    inputs: tuple[object, ...]
    kind: type[Exception]
    said: str


REFUSED = Refused()
FAILING = {
    "all": Failing(
        works.fail,
        (TWO, 1, FloatingPointError("loss nan")),
        FloatingPointError,
        "^loss nan\non rank 1",
    ),
    "rank 1": Failing(
        works.fail,
        (TWO, 1, ZeroDivisionError("by nothing")),
        RankError,
        rf"rank 1 on {HOST} failed:\nTraceback[\s\S]*in fail[\s\S]*by nothing",
    ),
    "hung": Failing(
        works.vanish,
        (TWO, 1, "SIGSTOP"),
        RankError,
        rf"rank 0 on {HOST} waited in vain .* no sign of life from rank 1 on {HOST}",
    ),
    "reporter": Failing(
        works.meet,
        (TWO, REFUSED),
        RuntimeError,
        "TrackingError: the server has no run r1\non rank 0",
    ),
}


def failing_in(start: Callable[..., object], case: Failing) -> str:
    """The stage is told what is to be told; that.

    Args:
        start: starts the ranks.
        case: what they do.
    """
    with pytest.raises(case.kind, match=case.said) as caught:
        start(case.work, *case.inputs, placement=TWO, report=REFUSED)
    return str(caught.value)


def wait_for(find: Callable[[], list[int]], count: int) -> list[int]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if len(found := find()) == count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"only {find()} of {count}")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
