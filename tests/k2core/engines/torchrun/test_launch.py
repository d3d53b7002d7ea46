"""Ranks on one machine: what they return and say, and how each way of failing reaches the stage."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.api import PContext

from k2core.engines.torchrun import RankError, run_ranks
from tests.k2core.engines.torchrun import works
from tests.k2core.engines.torchrun.launched import (
    FAILING,
    HOST,
    MET,
    TWO,
    Failing,
    Heard,
    failing_in,
    is_alive,
    wait_for,
)

KILLED = Failing(
    works.vanish, (TWO, 1, "SIGKILL"), RankError, f"rank 1 on {HOST} was killed by SIGKILL"
)


def test_ranks_meet_and_rank_0_alone_is_heard() -> None:
    heard = Heard()
    assert run_ranks(works.meet, TWO, heard, placement=TWO, report=heard) == MET
    assert heard.points == [{"rank": 0.0}]


@pytest.mark.parametrize(
    "case",
    [
        FAILING["all"],
        FAILING["rank 1"],
        KILLED,
        pytest.param(FAILING["hung"], marks=pytest.mark.slow),
        FAILING["reporter"],
    ],
    ids=["all", "rank 1", "killed", "hung", "reporter"],
)
def test_a_failure_names_its_rank(case: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    # The agent's patience with a rank that does not end: one that stands still never does.
    monkeypatch.setattr(PContext.close, "__defaults__", (None, 1))
    assert failing_in(run_ranks, case)


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
    pids = wait_for(lambda: [int(p.name[4:]) for p in tmp_path.glob("pid-*")], 2)
    stage.send_signal(signal.Signals[how])
    stage.wait(timeout=60)
    assert wait_for(lambda: [pid for pid in pids if not is_alive(pid)], 2) == pids
