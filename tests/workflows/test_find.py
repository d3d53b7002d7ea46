"""Finding what was recorded: by run, by digest, and what led to it."""

from pathlib import Path

import pytest

from infra.index import RunIndex
from infra.lineage import record_reuse
from schemas.artifacts import Checkpoint, Evaluation, Release
from schemas.problems import ProblemsConfig
from tests.workflows.conftest import Record
from workflows.errors import NotRecordedError
from workflows.find import SERVABLE, config_behind, find_artifact

BASE = Checkpoint(digest="sha256:" + "b" * 64)
POLICY = Checkpoint(digest="sha256:" + "c" * 64)
SCORES = Evaluation(digest="sha256:" + "e" * 64)
RELEASE = Release(digest="sha256:" + "f" * 64)
PROBLEMS = ProblemsConfig(seed=7).model_dump(mode="json")


@pytest.fixture(scope="module", autouse=True)
def _two_runs(record: Record) -> None:
    """`one` is whole; `two`, newer, has come as far as its policy and reuses the base."""
    made = record("one-1", "pretrain", {}, {"checkpoint": BASE})
    record("one-1", "evaluate", {"base": BASE}, {"evaluation": SCORES}, problems=PROBLEMS)
    record("one-1", "release", {"evaluation": SCORES}, {"release": RELEASE})
    record_reuse(made, "two-1")
    record("two-1", "rl", {"base": BASE}, {"policy": POLICY})


def test_a_run_is_its_release_and_without_one_its_newest_checkpoint() -> None:
    assert find_artifact("latest").digest == RELEASE.digest
    assert find_artifact("one").digest == RELEASE.digest
    assert find_artifact("two", SERVABLE).digest == POLICY.digest


def test_a_digest_is_found_by_its_beginning_and_among_the_kinds_asked_for() -> None:
    assert find_artifact("eeee").digest == SCORES.digest
    assert find_artifact("sha256:bbb", SERVABLE).digest == BASE.digest
    with pytest.raises(NotRecordedError, match=r"'eeee' is neither .* recorded release or ch"):
        find_artifact("eeee", SERVABLE)


def test_what_is_missing_is_said() -> None:
    for path in ("/etc", "/", "/store/objects/aaaa"):
        with pytest.raises(NotRecordedError, match=f"'{path}' is a path: a run's name"):
            find_artifact(path, "release")
    with pytest.raises(NotRecordedError, match="'nonsense' is neither a recorded run"):
        find_artifact("nonsense")


def test_without_a_release_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2_HOME", str(tmp_path))
    with pytest.raises(NotRecordedError, match="nothing is released yet: `k2 run` makes"):
        find_artifact("latest")


def test_a_cached_stage_is_no_maker() -> None:
    with RunIndex() as index:
        made = index.maker(BASE.digest)
    assert made is not None
    assert made.run.tags["flyte_run"] == "one-1"
    assert "cached" not in made.run.tags


def test_the_config_behind_an_artifact_is_the_nearest_one() -> None:
    assert config_behind(RELEASE, "problems") == PROBLEMS
    with pytest.raises(NotRecordedError, match=r"no stage behind checkpoint .* has a problems"):
        config_behind(POLICY, "problems")
