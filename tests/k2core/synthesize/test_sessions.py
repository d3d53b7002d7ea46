"""Actors play to the bytes of one process, on a cluster with nodes for code and without."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from k2core.engines.ray.sessions import open_sessions
from k2core.sandbox import CodeRunner
from k2core.store import Store, digest_of, manifest_of
from k2core.synthesize import synthesize_trajectories
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig

pytestmark = pytest.mark.slow

PROBLEMS = ProblemsConfig(families={"lookup": 2.0, "retry": 1.0, "linear_function": 1.0})
CONFIG = SynthesizeConfig(
    num_problems=90,
    num_scenarios=20,
    shard_problems=40,
    live_per_server=0,
    failure_frac=0.2,
    outage_frac=0.1,
    distractor_frac=0.0,
)


def digest(root: Path, num_actors: int) -> str:
    workspace = Store(root).workspace("synthesize")
    placement = Placement(session_actors=num_actors)
    draft = synthesize_trajectories(CONFIG, PROBLEMS, workspace, placement)
    assert draft.counts["trajectories"] > 60
    return digest_of(manifest_of(draft.folder))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(tmp_path_factory.mktemp("alone"), 0)


def test_actors_of_this_machine_give_the_same_bytes(alone: str, tmp_path: Path) -> None:
    assert digest(tmp_path, 2) == alone


@pytest.fixture
def cluster() -> Iterator[None]:
    """One that offers nodes for code, as a Ray job of infra/pools.py does."""
    for attempts_left in (2, 1, 0):  # a busy machine misses Ray's limit of 30 s
        try:
            ray.init(address="local", num_cpus=2, resources={"sandbox": 1}, include_dashboard=False)
            break
        except Exception:
            ray.shutdown()
            if not attempts_left:
                raise
    yield
    ray.shutdown()


@contextmanager
def name_runner(
    runner: CodeRunner | None,
) -> Iterator[Callable[[str, Sequence[int]], list[str]]]:
    yield lambda _, numbers: [type(runner).__name__ for _ in numbers]


@pytest.mark.usefixtures("cluster")
def test_code_goes_to_the_clusters_sandboxes(alone: str, tmp_path: Path) -> None:
    with open_sessions(2, name_runner) as sessions:
        assert set(sessions.play("problem", [range(4)])) == {"Sandboxes"}
    assert digest(tmp_path, 2) == alone
