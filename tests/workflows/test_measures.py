"""What MLflow is told of a checkpoint: every score by a name that it takes."""

import re
from pathlib import Path

import pytest

from infra.home import ROOT
from k2core.store import Draft
from schemas.artifacts import Evaluation
from schemas.evaluate import CHECKPOINTS
from schemas.lineage import LineageRecord
from tasks.store import open_store
from workflows.measures import read_measures
from workflows.report import RECORD, RunReport


def test_every_score_has_a_name_that_mlflow_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_HOME", str(tmp_path / "home"))
    scores = RunReport.model_validate_json((ROOT / RECORD).read_text()).scores
    rates = scores.families["lookup"]
    odd = scores.model_copy(update={"families": {"sums, four shots = 4": rates, "lookup": rates}})
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "scores.json").write_text(odd.model_dump_json())
    made = open_store().publish(Evaluation, Draft(folder, {}))
    record = LineageRecord(stage="evaluate", version="1", outputs={"evaluation": made})
    found = read_measures([record])
    assert set(found) == set(CHECKPOINTS)
    for measures in found.values():
        assert [n for n in measures if not re.fullmatch(r"[\w./: -]+", n, re.ASCII)] == []
    assert found["sft"]["sums_four_shots_4.rate"] == found["sft"]["lookup.rate"]
    assert found["sft"]["lookup.rate"] == rates["sft"].rate
