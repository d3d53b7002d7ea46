"""The home wherever it is, and whatever happened to who worked in it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra import lineage, tracking
from infra.alive import is_dead, own_process
from infra.index import RunIndex
from infra.kept import read_kept_json
from infra.runs import see_runs
from schemas.artifacts import RawCorpus
from schemas.lineage import LineageRecord
from workflows.cli import app
from workflows.launch import run_name

RAW = RawCorpus(digest="sha256:" + "a" * 64)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    monkeypatch.setenv("K2_HOME", str(folder))
    return folder


def record_one(name: str) -> str:
    with lineage.pipeline_run(name, {"name": name}) as parent:
        run = lineage.StageRun(LineageRecord(stage="ingest", version="1"), name, name, "a0")
        run.finish({"raw_corpus": RAW})
    return parent


@pytest.mark.parametrize("name", ["moved", "a%41b größe 数 what? #1"])
def test_a_home_may_be_moved_to_any_path_and_goes_on(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = record_one("before")
    there = home.with_name(name)
    home.rename(there)
    monkeypatch.setenv("K2_HOME", str(there))
    assert read_kept_json(before, "recipe.json") == {"name": "before"}
    after = record_one("after")
    assert not home.exists()
    assert read_kept_json(after, "recipe.json") == {"name": "after"}
    with RunIndex() as index:
        assert {s.run.tags["flyte_run"] for s in index.stages()} == {"before", "after"}
    kept = Path(tracking.client().download_artifacts(before, "recipe.json"))
    own = there / "mlflow-artifacts" / before / "artifacts" / "recipe.json"
    assert kept.read_bytes() == own.read_bytes()


def test_names_of_runs_are_their_own_within_a_second() -> None:
    assert len({run_name("tiny") for _ in range(50)}) == 50


@pytest.mark.slow
def test_a_killed_pipeline_is_seen_and_closed(home: Path) -> None:
    code = (
        "import os, signal\nfrom infra import lineage\n"
        "with lineage.pipeline_run('killed', {}):\n"
        "    lineage.StageRun(lineage.LineageRecord(stage='rl', version='1'), 'k', 'killed', 'a')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert {run.status for run in see_runs()} == {"RUNNING"}
    assert all(is_dead(run.tags["process"]) for run in see_runs())
    record_one("next")
    assert {run.tags["flyte_run"]: run.status for run in see_runs()} == {
        "killed": "KILLED",
        "next": "FINISHED",
    }


def test_who_lives_and_who_is_of_another_machine_is_not_dead() -> None:
    assert not is_dead(own_process())
    assert not is_dead("elsewhere 1 1")
    assert not is_dead("")
    host, number, _ = own_process().split()
    assert is_dead(f"{host} {number} 1")  # the number was used again


@pytest.mark.slow
def test_two_first_starts_at_once_both_end_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_HOME", str(tmp_path / "fresh"))
    code = "from infra import lineage\nwith lineage.pipeline_run('{}', {{}}): pass"
    started = [
        subprocess.Popen([sys.executable, "-c", code.format(name)]) for name in ("one", "two")
    ]
    assert [process.wait(120) for process in started] == [0, 0]
    assert {run.name: run.status for run in see_runs()} == {"one": "FINISHED", "two": "FINISHED"}


def test_a_server_that_is_away_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for command in ("runs", "lineage", "index", "rerun clean", "run --recipe smoke"):
        shown = CliRunner().invoke(app, command.split())
        assert shown.exit_code == 2, shown.exception
        assert shown.stderr.startswith("error: MLflow does not answer at http://127.0.0.1:9")
