"""The twelve questions of an auditor, asked of a small run of real stages (docs/audit.md)."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from infra.index import RunIndex
from infra.lineage import record_reuse
from k2core.clean import clean_documents
from k2core.store import Draft
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, Release
from tasks.store import open_store
from tests.k2core.clean.corpora import publish_raw, read_folder
from tests.workflows.conftest import Record
from tests.workflows.test_why import CLEAN, ID, PRETRAIN, RAW, ROWS, folder
from workflows.cli import app

__all__ = ["folder"]
POLICY = Checkpoint(digest="sha256:" + "c" * 64)
ANSWERS = [
    {"answer_id": f"policy/p{n}/0", "family": "lookup", "passed": n > 0, "faulty": n == 3}
    | {"reason": "", "num_tokens": 7, "messages": "[]"}
    for n in range(4)
]


class Said(BaseModel):
    """What `--json` prints."""

    answer: str
    rows: list[dict[str, object]]

    def column(self, name: str) -> set[object]:
        return {row[name] for row in self.rows}


def ask(*question: str) -> Said:
    shown = CliRunner().invoke(app, [*question, "--json"])
    assert shown.exit_code == 0, (shown.exception, shown.stderr)
    return Said.model_validate_json(shown.stdout)


def refuse(*question: str) -> str:
    shown = CliRunner().invoke(app, [*question])
    assert shown.exit_code == 2, shown.exception
    return shown.stderr


@pytest.fixture(scope="module", autouse=True)
def _evaluated(folder: Path, record: Record) -> None:
    """`old-1` goes on to a release; `copy-1` evaluates the same policy worse."""
    base = Checkpoint(digest="sha256:" + "b" * 64)
    with RunIndex() as index:
        (clean,) = index.stages("stage = 'clean' and pipeline = 'old-1'")
    record("old-1", "ingest", {}, {"raw_corpus": clean.record.inputs["raw"]})
    made = record("old-1", "rl", {"base": base}, {"policy": POLICY}, config={"lr": 1.0})
    record_reuse(made, "copy-1")
    for run, rate in (("old-1", 0.75), ("copy-1", 0.5)):
        out = open_store().workspace("evaluate").out
        (out / "answers").mkdir()
        pl.DataFrame(ANSWERS).write_parquet(out / "answers" / "policy.parquet")
        rates = {"families": {"lookup": {"policy": {"rate": rate, "low": 0.1, "high": 0.9}}}}
        (out / "scores.json").write_text(json.dumps(rates))
        scores = open_store().publish(Evaluation, Draft(out, {}))
        record(run, "evaluate", {"policy": POLICY}, {"evaluation": scores}, config={"lr": rate})
        release = Release(digest="sha256:" + f"{rate}".replace(".", "e").ljust(64, "f"))
        record(run, "release", {"policy": POLICY, "evaluation": scores}, {"release": release})


def test_what_an_artifact_came_from_and_what_came_of_it() -> None:
    kinds = ask("ancestors", "old-1").column("kind")
    assert {"raw_corpus", "clean_corpus", "rephrased_corpus", "token_corpus"} < kinds
    down = ask("descendants", _raw_digest())
    assert {"checkpoint", "evaluation", "release"} < down.column("kind")
    assert down.column("digest") >= {"b" * 12, "c" * 12}
    assert down.rows[0]["kind"] == "clean_corpus"


def _raw_digest() -> str:
    with RunIndex() as index:
        (stage,) = index.stages("stage = 'clean' and pipeline = 'old-1'")
    return stage.record.inputs["raw"].digest


def test_which_checkpoints_saw_a_document_and_which_documents_a_step_read() -> None:
    (some,) = {str(row["document"]) for row in ask("step", "5", "--of", "bbbb").rows[:1]}
    seen = ask("saw", some)
    assert {"pretrain", "rl", "release"} <= seen.column("made by")
    assert all(int(str(row["readings"])) >= 1 for row in seen.rows)
    assert ask("saw", ID["short"]).rows == []  # dropped
    last = PRETRAIN.schedule.num_steps + 14
    assert f"there are 0 to {last - 1}" in refuse("step", str(last), "--of", "bbbb")


def test_which_runs_used_a_code_version_a_licence_a_package_and_a_corpus() -> None:
    with RunIndex() as index:
        code = index.runs()[0].tags["code"]
    assert ask("used", "--code", code[:12]).column("run") == {"old-1", "new-1", "copy-1"}
    assert ask("used", "--license", "MIT").column("run") == {"old-1", "new-1", "copy-1"}
    assert ask("used", "--license", "GPL-9").rows == []
    corpus = ask("used", "--corpus", _raw_digest())
    assert corpus.column("run") == {"old-1", "copy-1"}
    assert "say one of" in refuse("used")


def test_what_differs_between_two_runs() -> None:
    rows = {str(row["what"]): row for row in ask("diff", "old-1", "copy-1").rows}
    assert rows["config: config.lr"]["other"] == 0.5
    assert rows["score: families.lookup.policy"]["one"] == "0.75 [0.100, 0.900]"
    assert str(rows["data: input evaluation"]["one"]).startswith("evaluation ")
    assert ask("diff", "old-1", "old-1").rows == []


def test_a_score_leads_to_its_weights_and_answers() -> None:
    said = ask("score", "lookup", "--of", "old-1")
    assert said.answer.startswith(
        "lookup, policy: 2 of 3 answers passed, graded by evaluate of old"
    )
    assert f"weights {'c' * 12} made by rl of old-1" in said.answer
    assert len(said.rows) == 4
    assert "there are lookup" in refuse("score", "nothing", "--of", "old-1")
    assert "there are policy" in refuse("score", "lookup", "--of", "old-1", "--checkpoint", "sft")


def test_what_nobody_reaches_is_shown_then_deleted_but_never_under_a_lease() -> None:
    out = open_store().workspace("lost").out
    (out / "sources.json").write_text("{}")
    lost = open_store().publish(RawCorpus, Draft(out, {}))
    (open_store().disk / "work" / "killed" / "scratch").mkdir(parents=True)
    assert ask("gc").rows == []  # younger than a week
    assert {("object", lost.digest[7:]), ("work", "killed")} <= _names(ask("gc", "--days", "0"))
    assert open_store().has(lost)
    with open_store().locked("killed"):
        assert ("work", "killed") not in _names(ask("gc", "--days", "0"))
        assert "while a stage is at work: killed" in refuse("gc", "--days", "0", "--delete")
    assert open_store().has(lost)
    ask("gc", "--days", "0", "--delete")
    assert not open_store().has(lost)
    assert ask("gc", "--days", "0").rows == []
    assert ask("ancestors", "old-1").rows  # what is reached is there


def _names(said: Said) -> set[tuple[object, object]]:
    return {(row["what"], row["name"]) for row in said.rows}


def test_forgetting_a_document_names_what_descends_and_the_next_clean_drops_it() -> None:
    said = ask("forget", ID["k3"], "--write")
    assert {"raw_corpus", "clean_corpus", "token_corpus", "checkpoint"} <= said.column("kind")
    from workflows.cli import _recipe  # what `k2 run` starts with
    from workflows.forgotten import read_forgotten

    forgotten = read_forgotten()
    assert set(forgotten) == {ID["k3"], ID["copy"]}  # its duplicate would take its place
    assert _recipe("tiny", None).clean.exclude == tuple(sorted(forgotten))
    raw = publish_raw(open_store(), RAW, 40)
    config = CLEAN.model_copy(update={"exclude": tuple(forgotten)})
    draft = clean_documents(config, [], raw, open_store().workspace("again"))
    rows = {str(row["doc_id"]): row for row in read_folder(draft.folder / "decisions")}
    assert {rows[doc_id]["reason"] for doc_id in forgotten} == {"excluded"}
    left = b"".join(path.read_bytes() for path in draft.folder.rglob("*.parquet"))
    assert ROWS["k3"].encode()[:40] not in left
    assert "no corpus of this store has" in refuse("forget", "nobody")


def test_the_index_is_made_anew_and_forgets_what_mlflow_deleted(home: Path) -> None:
    before = ask("index").answer
    (home / "index.db").write_bytes(b"no database")
    assert ask("index").answer == before
    assert ask("index", "--rebuild").answer == before


def test_a_home_that_moved_or_is_read_only_answers(home: Path, tmp_path: Path) -> None:
    known = ask("ancestors", "old-1").rows
    moved = tmp_path / "moved ö %41"
    home.rename(moved)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("K2_HOME", str(moved))
            (moved / "index.db").unlink()
            assert ask("ancestors", "old-1").rows == known
    finally:
        moved.rename(home)
    assert os.environ["K2_HOME"] == str(home)
