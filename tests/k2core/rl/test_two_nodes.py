"""The stage, its trainer and vLLM engines actors on two Ray nodes: the numbers of one machine."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest
import ray
from ray.cluster_utils import Cluster

from k2core.engines.ray import ranks
from k2core.engines.torchrun import RankError
from k2core.reporting import Reporter, Silent
from k2core.store import Store
from schemas.artifacts import RlResult
from schemas.placement import Placement, Serving
from tests.k2core.rl.on_a_host import CONFIG, Start, practise, write_start

pytestmark = pytest.mark.slow

TWO = Placement(num_ranks=2, micro_batch=4, timeout_s=60, serving=Serving(num_engines=2))
ALONE = TWO.model_copy(update={"num_ranks": 1})


class Points(Silent):
    """Keeps the curves, and harms whom it is told to."""

    def __init__(self) -> None:
        self.rows: dict[int, Mapping[str, float]] = {}
        self.victim: tuple[int, int] | None = None
        """After which step, and which rank."""
        self.group: ranks.RankGroup | None = None

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.rows[step] = values
        if self.victim and self.victim[0] == step and self.group:
            ray.kill(self.group.actors[self.victim[1]])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def start(store: Store, tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Start:
    return write_start(store, tmp_path_factory.mktemp("start"), tokenizer_folder, TWO)


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    """Two nodes of two cores: together they hold two ranks and two engines, and no more."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        cluster.add_node(num_cpus=2, resources={"sandbox": 1})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nodes of the ranks; whoever reports knows their group from here on."""
    begun, found = ranks.RankGroup.run, list[str]()

    def noting(self: ranks.RankGroup, job: bytes, report: Reporter) -> object:
        assert isinstance(report, Points)
        report.group = self
        found.extend(met.node for met in self.hellos)
        return begun(self, job, report)

    monkeypatch.setattr(ranks.RankGroup, "run", noting)
    return found


def updates(store: Store, result: RlResult) -> list[dict[str, float]]:
    """Figures of each iteration's update."""
    said = store.open_file(result.policy, "training.json").read_text()
    return [one["updates"] for one in json.loads(said)["history"]["iterations"]]


def seconds(points: Points) -> list[float]:
    """Of sending weights to the engines, an iteration each."""
    rows = points.rows.values()
    return [round(row["seconds/sync"], 3) for row in rows if "seconds/sync" in row]


def test_two_nodes_practise_as_one_machine_does(
    store: Store,
    start: Start,
    nodes: Cluster,
    places: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curves = {name: Points() for name in ("ray", "killed", "again", "torchrun", "alone")}
    found = {"ray": practise(start, store, "ray", curves["ray"])}
    print(f"ranks on {len(set(places))} of the nodes")
    curves["killed"].victim = 2, 1
    with pytest.raises(RankError, match=r"rank 1 on .* was lost"):
        practise(start, store, "killed", curves["killed"])
    assert "iteration-00001" <= store.states("killed").sealed("iteration-")[-1] < "iteration-00003"
    found["again"] = practise(start, store, "killed", curves["again"])
    assert 1 not in curves["again"].rows
    monkeypatch.delenv("RAY_ADDRESS")
    ray.shutdown()
    found["torchrun"] = practise(start, store, "torchrun", curves["torchrun"])
    alone = start.model_copy(update={"placement": ALONE})
    found["alone"] = practise(alone, store, "alone", curves["alone"])
    for name, one in found.items():
        print(name, f"{one.seconds:.1f} s", seconds(curves[name]))
    wanted = found["ray"].result
    assert found["torchrun"].result == wanted
    assert found["again"].result == wanted
    log = pl.read_parquet(store.open(wanted.rollouts) / "rollouts")
    assert log["weights"].n_unique() > 1
    ours, theirs = (updates(store, found[name].result) for name in ("ray", "alone"))
    first = next(number for number, one in enumerate(ours) if one)
    print(ours[first], theirs[first])
    assert ours[first] == pytest.approx(theirs[first], rel=1e-4, abs=1e-6)  # order of additions


def test_one_step_off_goes_on_after_a_kill_as_on_one_machine_that_lived(
    store: Store,
    start: Start,
    nodes: Cluster,
    places: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = start.model_copy(update={"config": CONFIG.model_copy(update={"staleness": 1})})
    killed, again, whole = Points(), Points(), Points()
    killed.victim = 2, 1
    with pytest.raises(RankError, match=r"rank 1 on .* was lost"):
        practise(off, store, "off-killed", killed)
    found = practise(off, store, "off-killed", again)
    assert places
    assert 1 not in again.rows
    monkeypatch.delenv("RAY_ADDRESS")
    ray.shutdown()
    wanted = practise(off, store, "off", whole)
    assert found.result == wanted.result
    changed = [int(bool(one)) for one in updates(store, wanted.result)]
    lags = [row["lag_max"] for row in whole.rows.values() if "lag_max" in row]
    assert lags == [0, *changed[:-1]]  # where nothing was learned the weights are the latest
    assert 1 in lags
    for row in whole.rows.values():
        print({name: round(value, 2) for name, value in row.items() if "seconds" in name})
