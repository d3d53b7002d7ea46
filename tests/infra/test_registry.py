"""Registered models answer for themselves: on SQLite, and on a server over PostgreSQL and S3."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import lineage
from infra.index import Index
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
MEASURES = {"policy": {"lookup.rate": 0.59, "calls.rate": 0.9}, "base": {"lookup.rate": 0.01}}


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
    client = lineage.client()
    version = client.get_model_version_by_alias("tiny-policy", NEWEST)
    assert client.get_model_version_by_alias("tiny-policy", RELEASED).version == version.version
    assert version.tags["digest"] == POLICY.digest
    assert json.loads(version.tags["parents"]) == {"sft": TUNED.digest, "trajectories": SET.digest}
    assert json.loads(version.tags["config"]) == {"optim": {"lr": 0.5}}
    assert version.tags["score.lookup.rate"] == "0.59"
    assert "8,214 trajectories" in str(version.description)
    maker = client.get_run(str(version.run_id))
    assert maker.data.tags["k2.stage"] == "rl"
    assert {m.name for m in client.search_registered_models()} == {
        f"tiny-{role}" for role in ("base", "sft", "policy", "release")
    }
    (model,) = client.search_logged_models(
        [lineage.experiment_id()], f"tags.`digest` = '{POLICY.digest}'"
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
    assert len(lineage.client().search_model_versions("name = 'tiny-policy'")) == 1


@pytest.fixture
def server(tmp_path: Path, bucket: str, s3: "S3", monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow over PostgreSQL, its files in a bucket."""
    if not shutil.which("initdb") or not shutil.which("pg_ctl"):
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on this machine")
    place, port, own = tmp_path / "pg", _free_port(), _free_port()
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] * (os.getuid() == 0)
    place.mkdir()
    for folder in (place, *place.parents[:3]):
        folder.chmod(0o755)
    if user:
        shutil.chown(place, 65534, 65534)
    data = str(place / "data")
    made = ["initdb", "-D", data, "-U", "k2", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*user, *made], check=True, capture_output=True)
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1"
    log = str(place / "log")
    start = ["pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start"]
    subprocess.run([*user, *start], check=True, stdout=subprocess.DEVNULL)
    backend = f"postgresql+psycopg2://k2@127.0.0.1:{port}/postgres"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
    command += ["--artifacts-destination", f"{bucket.replace(' ', '-')}/mlflow"]
    command += ["--host", "127.0.0.1", "--port", str(own), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_S3_ENDPOINT_URL": s3.endpoint}
    with (tmp_path / "server.log").open("w") as out:
        running = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{own}/health", tmp_path / "server.log")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{own}")
        monkeypatch.setenv("K2_HOME", str(tmp_path / "home"))
        yield bucket
    finally:
        os.killpg(running.pid, 15)
        running.wait(30)
        stop = ["pg_ctl", "-D", data, "-m", "immediate", "stop"]
        subprocess.run([*user, *stop], check=False, capture_output=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(address: str, log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text()[-2000:])


@pytest.mark.slow
def test_a_server_over_postgresql_with_files_in_a_bucket(server: str, s3: "S3") -> None:
    check_registry(run_pipeline("one"))
    with Index() as index:
        assert [stage.record.stage for stage in index.stages("stage = 'rl'")] == ["rl"]
        assert {a.kind for a in index.related(RELEASE.digest, forward=False)} >= {"token_corpus"}
    assert s3.count("PUT", "record.json") >= 7
