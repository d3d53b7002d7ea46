"""Ranks in Ray's actors on two nodes: what they return and say, and how each failure is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from k2core.engines.beside import run_beside_engines
from k2core.engines.ray import ranks
from k2core.engines.torchrun import RankError
from schemas.placement import Placement, Serving
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

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes, so small that a trainer of two ranks with an engine needs both."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        cluster.add_node(num_cpus=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def wait_for_all_cores() -> None:
    """Ray counts them back when processes have ended."""
    end = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 4:
        assert time.monotonic() < end, ray.available_resources()
        time.sleep(0.2)


def test_ranks_meet_and_rank_0_alone_is_heard() -> None:
    heard = Heard()
    assert run_beside_engines(works.meet, TWO, heard, placement=TWO, report=heard) == MET
    assert heard.points == [{"rank": 0.0}]


def test_ranks_and_engines_are_placed_together_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("k2core.engines.ray.room._PATIENCE_S", 0.0)
    with ranks.RankGroup(TWO) as group:
        assert len({met.node for met in group.hellos}) == 1
        assert ray.available_resources().get("CPU", 0) == 1
        with pytest.raises(RuntimeError, match="5 CPU cores, and Ray's cluster has 4"):
            ranks.RankGroup(TWO.model_copy(update={"serving": Serving(num_engines=3)}))
    spread = Placement(num_ranks=3, serving=Serving(num_engines=1))
    with ranks.RankGroup(spread) as group:
        places = [met.node for met in group.hellos]
        assert len(set(places)) == 2
        assert places == sorted(places, key=places.index)  # neighbours
        said = ranks.describe_ranks(group.hellos)
    assert sorted(one["LOCAL_RANK"] for one in said) == ["0", "0", "1"]
    wait_for_all_cores()


def _lost(rank: int) -> Failing:
    said = f"rank {rank} on {HOST} was lost: "
    return Failing(works.vanish, (TWO, rank, "SIGKILL"), RankError, said)


CASES = {**FAILING, "first killed": _lost(0), "killed": _lost(1)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_failure_names_its_rank(case: Failing) -> None:
    assert failing_in(run_beside_engines, case)
    wait_for_all_cores()


def test_a_ctrl_c_of_the_terminal_ends_the_stage_in_a_thread_and_its_ranks(tmp_path: Path) -> None:
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from k2core.engines.beside import run_beside_engines\n"
        "from schemas.placement import Placement\n"
        "from tests.k2core.engines.torchrun.works import sleep\n"
        "how = {'placement': Placement(num_ranks=2)}\n"
        "given = sleep, Path(sys.argv[1])\n"
        "work = threading.Thread(target=run_beside_engines, args=given, kwargs=how)\n"
        "work.start()\n"
        "try: work.join()\n"
        "except KeyboardInterrupt: work.join()\n"
    )
    stage = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": "."},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pids = wait_for(lambda: [int(p.name[4:]) for p in tmp_path.glob("pid-*")], 2)
    os.killpg(stage.pid, signal.SIGINT)
    stage.wait(timeout=60)
    assert wait_for(lambda: [pid for pid in pids if not is_alive(pid)], 2) == pids
    wait_for_all_cores()
