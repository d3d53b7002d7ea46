"""The MLflow side: parameters, edges and reuse."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow.entities import Run, RunInputs, RunOutputs

from infra import lineage, tracking
from infra.kept import read_kept
from schemas.artifacts import Checkpoint, RawCorpus
from schemas.lineage import LineageRecord

RAW = RawCorpus(digest="sha256:" + "a" * 64, counts={"documents": 3})
BASE = Checkpoint(digest="sha256:" + "b" * 64, counts={"steps": 5})


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    monkeypatch.setenv("K2_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _record() -> LineageRecord:
    return LineageRecord(
        stage="pretrain",
        version="1",
        configs={"config": {"optim": {"lr": 0.5}}},
        inputs={"raw": RAW},
    )


def edges_of(run: Run) -> tuple[RunInputs, RunOutputs]:
    assert run.inputs is not None
    assert run.outputs is not None
    return run.inputs, run.outputs


def test_flatten_names_nested_fields() -> None:
    assert lineage.flatten({"a": {"b": 1, "c": [2]}, "d": "x"}) == {
        "a.b": "1",
        "a.c": "[2]",
        "d": "x",
    }


def test_a_stage_run_carries_edges_parameters_and_curves() -> None:
    with lineage.pipeline_run("flyte-1", {"name": "tiny"}) as parent:
        run = lineage.StageRun(_record(), "key", "flyte-1", "a1")
        run.metrics(3, {"loss": 2.5})
        run.finish({"checkpoint": BASE})
    stored = tracking.client().get_run(run.run_id)
    assert stored.data.tags["mlflow.parentRunId"] == parent
    assert stored.data.params["config.optim.lr"] == "0.5"
    assert stored.data.metrics == {"loss": 2.5}
    inputs, outputs = edges_of(stored)
    dataset = inputs.dataset_inputs[0].dataset
    assert dataset.name == "raw_corpus"
    assert json.loads(dataset.source)["digest"] == RAW.digest
    model = tracking.client().get_logged_model(outputs.model_outputs[0].model_id)
    assert model.tags["digest"] == BASE.digest
    kept = LineageRecord.model_validate_json(read_kept(run.run_id, "record.json"))
    assert kept.outputs["checkpoint"].digest == BASE.digest


def test_a_checkpoint_consumed_is_the_model_that_was_produced() -> None:
    maker = lineage.StageRun(_record(), "key", "flyte-1", "a1")
    maker.finish({"checkpoint": BASE})
    user = lineage.StageRun(
        LineageRecord(stage="sft", version="1", inputs={"base": BASE}), "key2", "flyte-1", "a2"
    )
    user.finish({})
    _, made = edges_of(tracking.client().get_run(maker.run_id))
    used, _ = edges_of(tracking.client().get_run(user.run_id))
    assert made.model_outputs[0].model_id == used.model_inputs[0].model_id


def test_reuse_names_the_run_that_made_it() -> None:
    maker = lineage.StageRun(_record(), "key", "flyte-1", "a1")
    maker.finish({"checkpoint": BASE})
    lineage.record_reuse(maker.record, "flyte-2")
    reused = tracking.find_runs(kind="stage", flyte_run="flyte-2")
    assert [r.data.tags["k2.made_by"] for r in reused] == [maker.run_id]


def test_a_failure_keeps_its_reason_and_a_stale_run_is_closed() -> None:
    failed = lineage.StageRun(_record(), "key", "flyte-1", "a1")
    failed.fail(ValueError("row 7"))
    lineage.StageRun(_record(), "stale", "flyte-1", "a1")
    lineage.close_stale("stale")
    runs = {r.data.tags["k2.key"]: r for r in tracking.find_runs(kind="stage")}
    assert runs["key"].info.status == "FAILED"
    assert runs["key"].data.tags["k2.error"] == "ValueError: row 7"
    assert runs["stale"].info.status == "KILLED"
