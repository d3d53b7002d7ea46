"""What the pages say of a run is what its record says, and one command writes both."""

from pathlib import Path

import pytest

from infra.home import ROOT
from infra.lineage import pipeline_run, record_reuse
from infra.machine import describe_machine
from k2core.store import Draft
from schemas.artifacts import Evaluation, Release
from schemas.base import Artifact
from schemas.evaluate import Scores
from schemas.recipe import Recipe
from tasks.store import open_store
from tests.k2core.release.facts import scores
from tests.workflows.conftest import Record
from workflows.errors import NotRecordedError
from workflows.report import PAGES, RECORD, RunReport, read_report, write_report
from workflows.report_tables import render, whole

STAGES = Recipe().stages
KEPT = RunReport.model_validate_json((ROOT / RECORD).read_bytes())
RELEASE = Release(digest="sha256:" + "f" * 64, counts={"files": 22.0})


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_says_what_the_record_says(page: Path) -> None:
    """After another run: `k2 report --write`."""
    text = (ROOT / page).read_text()
    assert "<!-- k2 report: " in text
    assert render(KEPT, text) == text
    ingest, *rest = KEPT.stages
    other = KEPT.model_copy(update={"stages": [ingest.model_copy(update={"seconds": 7e4}), *rest]})
    assert render(other, text) != text


def outputs_of(stage: str, evaluation: Evaluation) -> dict[str, Artifact]:
    if stage == "evaluate":
        return {"evaluation": evaluation}
    if stage == "release":
        return {"release": RELEASE}
    return {stage: Artifact(kind=stage, digest="sha256:" + "a" * 64, counts={"rows": 3.0})}


@pytest.fixture(scope="module")
def graded(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    open_store.cache_clear()
    folder = tmp_path_factory.mktemp("scores")
    (folder / "scores.json").write_text(scores().model_dump_json())
    return open_store().publish(Evaluation, Draft(folder, {"answers": 60.0}))


@pytest.fixture(scope="module", autouse=True)
def _runs(record: Record, graded: Evaluation) -> None:
    """`one` is whole, `two` answers its cleaning from it, `three` was broken off."""
    made = {}
    with pipeline_run("one-1", Recipe(name="one").model_dump(mode="json")):
        for stage in STAGES:
            made[stage] = record("one-1", stage, {}, outputs_of(stage, graded))
    with pipeline_run("two-1", Recipe(name="two").model_dump(mode="json")):
        record_reuse(made["clean"], "two-1")
        for stage in STAGES:
            if stage != "clean":
                record("two-1", stage, {}, outputs_of(stage, graded))
    with pipeline_run("three-1", Recipe(name="three").model_dump(mode="json")):
        record("three-1", "ingest", {}, outputs_of("ingest", graded))


def test_a_report_is_what_was_recorded(graded: Evaluation) -> None:
    found = read_report("one")
    assert [stage.stage for stage in found.stages] == list(STAGES)
    assert (found.run, found.recipe) == ("one-1", "one")
    assert found.machine == describe_machine()
    assert found.release == RELEASE.digest
    assert found.scores == Scores.model_validate(scores().model_dump())
    made = {s.stage: s.outputs for s in found.stages}
    assert made["evaluate"]["evaluation"].digest == graded.digest


def test_a_stage_from_the_cache_has_the_time_of_its_maker() -> None:
    one, two = ({s.stage: s.seconds for s in read_report(n).stages} for n in ("one", "two"))
    assert two["clean"] == one["clean"]


def test_a_run_that_did_not_end_is_not_reported() -> None:
    with pytest.raises(NotRecordedError, match="run three-1 has not finished clean, rephrase"):
        read_report("three")


def test_writing_replaces_what_stands_between_the_marks(tmp_path: Path) -> None:
    for page in PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(
            "before\n<!-- k2 report: groups -->\nold\n<!-- end -->\nafter\n"
        )
    found = read_report("one")
    assert write_report(found, tmp_path)[0] == tmp_path / RECORD
    assert RunReport.model_validate_json((tmp_path / RECORD).read_bytes()) == found
    for page in PAGES:
        text = (tmp_path / page).read_text()
        assert text.startswith(
            "before\n<!-- k2 report: groups -->\n| held out | base | SFT | RL |\n"
        )
        assert text.endswith("<!-- end -->\nafter\n")
        assert "old" not in text
        assert "50% [30, 70]" in text


def test_conditions_tasks_and_overlap_stand_in_the_whole_report() -> None:
    text = whole(read_report("one"))
    for row in (
        "| enforced | policy | 0% [0, 16] | 50% [30, 70] | +10 -0 | 0.002 |",
        "| continue web | 50% [30, 70] | 50% [30, 70] | 0% [0, 16] |",
        "| bfcl | 1,240 | 3 | 0 | 0 |",
    ):
        assert row in text
