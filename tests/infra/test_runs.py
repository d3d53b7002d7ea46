"""Looking at runs without MLflow sees what MLflow sees."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from infra import lineage, tracking
from infra.runs import SeenRun, _ask_mlflow, refuse_away, see_runs
from schemas.artifacts import RawCorpus
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe

RAW = RawCorpus(digest="sha256:" + "a" * 64, counts={"documents": 3})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A pipeline of one stage that ended well, one that failed, one that goes on."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("K2_HOME", str(folder))
        with lineage.pipeline_run("one", {}):
            record = LineageRecord(stage="ingest", version="1")
            lineage.StageRun(record, "key", "one", "a0").finish({"raw_corpus": RAW})
        with pytest.raises(ValueError, match="bad"), lineage.pipeline_run("two", {}):
            raise ValueError("bad")
        lineage.StageRun(LineageRecord(stage="clean", version="1"), "key", "two", "a0")
        deleted = tracking.find_runs(kind="pipeline", flyte_run="two")[0]
        lineage.StageRun(LineageRecord(stage="rl", version="1"), "gone", "two", "a0")
        gone = tracking.find_runs(kind="stage", key="gone")[0]
        tracking.client().delete_run(gone.info.run_id)
        assert deleted.info.status == "FAILED"
        yield folder


def in_order(runs: list[SeenRun]) -> list[SeenRun]:
    return sorted(runs, key=lambda run: (run.started, run.name))


def test_the_database_read_as_it_is_says_what_mlflow_says(home: Path) -> None:
    seen = see_runs()
    assert in_order(seen) == in_order(_ask_mlflow())
    assert {run.name: run.status for run in seen} == {
        "one": "FINISHED",
        "ingest": "FINISHED",
        "two": "FAILED",
        "clean": "RUNNING",
    }
    assert {r.tags["stages"] for r in seen if r.tags["kind"] == "pipeline"} == {
        str(len(Recipe().stages))
    }


def test_a_tracking_server_says_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = see_runs()
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{home / 'mlflow.db'}")
    from mlflow.server import app

    class Silent(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with make_server("127.0.0.1", 0, app, handler_class=Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        assert in_order(see_runs()) == in_order(known)
        refuse_away()
        monkeypatch.setattr("infra.runs.EXPERIMENT", "another")
        assert see_runs() == []
        server.shutdown()


def test_where_nothing_was_recorded_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_HOME", str(tmp_path))
    assert see_runs() == []
