"""Ranks on one machine: what they return and say, and how each way of failing reaches the stage."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.api import PContext

from k2core.engines.torchrun import RankError, run_ranks
from k2core.reporting import Silent
from schemas.placement import Placement
from tests.k2core.engines.torchrun import works

TWO = Placement(num_ranks=2, timeout_s=3)
HOST = socket.gethostname()


class Heard(Silent):
    """A reporter that cannot travel to a rank."""

    def __init__(self) -> None:
        self.points: list[Mapping[str, float]] = []
        self.lock = open(os.devnull)  # noqa: SIM115, PTH123 - no pickle takes it

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append(values)


def test_ranks_meet_and_rank_0_alone_is_heard() -> None:
    heard = Heard()
    found = run_ranks(works.meet, TWO, heard, placement=TWO, report=heard)
    assert found == {
        "total": 3.0, "threads": "1", "agreed": False, "shared": "rank 0", "all": [0, 1],
    }  # fmt: skip
    assert heard.points == [{"rank": 0.0}]


class TrackingError(Exception):
    """Of a kind that cannot travel."""

    def __init__(self, server: str, run: str) -> None:
        super().__init__(f"{server} has no run {run}")


class Refused(Silent):
    """A reporter that fails: as when a run is stopped from outside."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        raise TrackingError("the server", "r1")


@pytest.mark.parametrize(
    ("work", "kind", "said"),
    [
        (
            (works.fail, TWO, 1, FloatingPointError("loss nan")),
            FloatingPointError,
            "^loss nan\non rank 1",
        ),
        (
            (works.fail, TWO, 1, ZeroDivisionError("by nothing")),
            RankError,
            rf"rank 1 on {HOST} failed:\nTraceback[\s\S]*in fail[\s\S]*by nothing",
        ),
        ((works.vanish, TWO, 1, "SIGKILL"), RankError, f"rank 1 on {HOST} was killed by SIGKILL"),
        pytest.param(
            (works.vanish, TWO, 1, "SIGSTOP"),
            RankError,
            rf"rank 0 on {HOST} waited in vain .* no sign of life from rank 1 on {HOST}",
            marks=pytest.mark.slow,
        ),
        (
            (works.meet, TWO, Silent()),
            RuntimeError,
            "TrackingError: the server has no run r1\non rank 0",
        ),
    ],
    ids=["all", "rank 1", "killed", "hung", "reporter"],
)
def test_a_failure_names_its_rank(
    work: tuple[object, ...], kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The agent's patience with a rank that does not end: one that stands still never does.
    monkeypatch.setattr(PContext.close, "__defaults__", (None, 1))
    function, *inputs = work
    report = Refused()
    inputs = [report if isinstance(value, Silent) else value for value in inputs]
    with pytest.raises(kind, match=said):
        run_ranks(function, *inputs, placement=TWO, report=report)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [pytest.param("SIGKILL", marks=pytest.mark.slow), "SIGINT"])
def test_ranks_die_with_the_stage(tmp_path: Path, how: str) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from k2core.engines.torchrun import run_ranks\n"
        "from schemas.placement import Placement\n"
        "from tests.k2core.engines.torchrun.works import sleep\n"
        "run_ranks(sleep, Path(sys.argv[1]), placement=Placement(num_ranks=2))\n"
    )
    stage = subprocess.Popen(
        # Jobs in the background of a shell ignore SIGINT, and hand that down.
        ["env", "--default-signal=INT", sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": "."},
        stderr=subprocess.DEVNULL,
    )
    pids = _wait_for(lambda: [int(p.name[4:]) for p in tmp_path.glob("pid-*")], 2)
    stage.send_signal(signal.Signals[how])
    stage.wait(timeout=60)
    assert _wait_for(lambda: [pid for pid in pids if not _is_alive(pid)], 2) == pids


def _wait_for(find: Callable[[], list[int]], count: int) -> list[int]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if len(found := find()) == count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"only {find()} of {count}")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
