"""Registered models answer for themselves: on SQLite, and on a server over PostgreSQL and S3."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import lineage, tracking
from infra.index import RunIndex
from infra.registry import NEWEST, RELEASED, register_models
from schemas.artifacts import Checkpoint, Evaluation, Release, TokenCorpus, TrajectorySet
from schemas.base import Artifact
from schemas.lineage import LineageRecord

if TYPE_CHECKING:
    from tests.s3 import S3

TOKENS = TokenCorpus(digest="sha256:" + "a" * 64, counts={"documents": 8645})
SET = TrajectorySet(digest="sha256:" + "b" * 64, counts={"trajectories": 8214})
BASE = Checkpoint(digest="sha256:" + "c" * 64, counts={"steps": 90})
TUNED = Checkpoint(digest="sha256:" + "d" * 64, counts={"steps": 340})
POLICY = Checkpoint(digest="sha256:" + "e" * 64, counts={"iterations": 32})
SCORES = Evaluation(digest="sha256:" + "f" * 64, counts={"answers": 3900})
RELEASE = Release(digest="sha256:" + "1" * 64, counts={"files": 24})
CHAIN: list[tuple[str, dict[str, Artifact], dict[str, Artifact]]] = [
    ("tokenize", {}, {"token_corpus": TOKENS}),
    ("pretrain", {"tokens": TOKENS}, {"checkpoint": BASE}),
    ("synthesize", {}, {"trajectory_set": SET}),
    ("sft", {"base": BASE, "trajectories": SET}, {"checkpoint": TUNED}),
    ("rl", {"sft": TUNED, "trajectories": SET}, {"policy": POLICY}),
    ("evaluate", {"base": BASE, "sft": TUNED, "policy": POLICY}, {"evaluation": SCORES}),
    ("release", {"base": BASE, "policy": POLICY, "evaluation": SCORES}, {"release": RELEASE}),
]
MANY = {f"variants.unseen_tools.family_{n}.rate": 0.5 for n in range(200)}
MEASURES = {
    "policy": {"lookup.rate": 0.59, "calls.rate": 0.9, **MANY},
    "base": {"lookup.rate": 0.01},
}


def run_pipeline(name: str) -> str:
    """As the chain does it, without the work; returns the parent's id."""
    with lineage.pipeline_run(name, {"name": "tiny"}) as parent:
        records = []
        for stage, inputs, outputs in CHAIN:
            config = {"config": {"optim": {"lr": 0.5}}}
            record = LineageRecord.model_validate(
                {"stage": stage, "version": "1", "configs": config, "inputs": inputs}
            )
            run = lineage.StageRun(record, f"{stage}-{name}", name, "a0")
            run.file("loss.png", b"a picture")
            run.finish(outputs)
            records.append(run.record)
        register_models(parent, "tiny", records, MEASURES)
    return parent


def check_registry(parent: str) -> None:
    """Everything that an auditor looks for, by MLflow's own client."""
    client = tracking.client()
    version = client.get_model_version_by_alias("tiny-policy", NEWEST)
    assert client.get_model_version_by_alias("tiny-policy", RELEASED).version == version.version
    assert version.tags["digest"] == POLICY.digest
    assert json.loads(version.tags["parents"]) == {"sft": TUNED.digest, "trajectories": SET.digest}
    assert json.loads(version.tags["config"]) == {"optim": {"lr": 0.5}}
    assert version.tags["score.lookup.rate"] == "0.59"
    said = str(version.description)
    assert "8,214 trajectories" in said
    assert len(said) <= 5000  # PostgreSQL's column
    assert said.endswith(
        "| 0.5 |\n\nMore stand among the metrics of the model and of its pipeline."
    )
    maker = client.get_run(str(version.run_id))
    assert maker.data.tags["k2.stage"] == "rl"
    assert {m.name for m in client.search_registered_models()} == {
        f"tiny-{role}" for role in ("base", "sft", "policy", "release")
    }
    (model,) = client.search_logged_models(
        [tracking.experiment_id()], f"tags.`digest` = '{POLICY.digest}'"
    )
    assert {m.key: m.value for m in model.metrics or []}["policy.lookup.rate"] == 0.59
    assert {m.dataset_name for m in model.metrics or []} == {"trajectory_set"}
    whole = client.get_run(parent)
    assert whole.data.metrics["policy.lookup.rate"] == 0.59
    assert whole.inputs is not None
    named = {
        d.dataset.name: json.loads(str(d.dataset.profile)) for d in whole.inputs.dataset_inputs
    }
    assert named["token_corpus"] == {"documents": 8645}
    assert whole.outputs is not None
    assert len(whole.outputs.model_outputs) == 4
    for tag in ("k2.user", "k2.lock", "k2.machine", "k2.python", "mlflow.source.name"):
        assert whole.data.tags[tag]
    assert "mlflow" in json.loads(whole.data.tags["k2.packages"])


def test_a_home_on_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path)
    monkeypatch.setenv("K2_HOME", str(tmp_path))
    first = run_pipeline("one")
    check_registry(first)
    check_registry(run_pipeline("two"))  # equal bytes are one version
    assert len(tracking.client().search_model_versions("name = 'tiny-policy'")) == 1


@pytest.mark.slow
def test_a_server_over_postgresql_with_files_in_a_bucket(server: str, s3: "S3") -> None:
    check_registry(run_pipeline("one"))
    with RunIndex() as index:
        assert [stage.record.stage for stage in index.stages("stage = 'rl'")] == ["rl"]
        assert {a.kind for a in index.related(RELEASE.digest, forward=False)} >= {"token_corpus"}
    assert s3.count("PUT", "record.json") >= 7
