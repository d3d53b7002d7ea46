"""The auditor's questions over 10,000 stage runs, each a command of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.table import Row
from schemas.base import Artifact
from schemas.lineage import LineageRecord

PIPELINES = 1_000
_CHAIN = (
    ("ingest", (), "raw_corpus"),
    ("clean", ("raw_corpus",), "clean_corpus"),
    ("rephrase", ("clean_corpus",), "rephrased_corpus"),
    ("tokenize", ("clean_corpus", "rephrased_corpus"), "token_corpus"),
    ("pretrain", ("token_corpus",), "base"),
    ("synthesize", (), "trajectory_set"),
    ("sft", ("base", "trajectory_set"), "sft"),
    ("rl", ("sft", "trajectory_set"), "policy"),
    ("evaluate", ("base", "sft", "policy"), "evaluation"),
    ("release", ("base", "policy", "evaluation"), "release"),
)
_CORPORA = 100
"""Different raw corpora among the pipelines."""


def measure() -> list[Row]:
    """Wall time of each command in a process of its own; the first builds the index."""
    with tempfile.TemporaryDirectory(prefix="k2-audit-") as folder:
        home = Path(folder)
        make_home(home, PIPELINES)
        first, last = "many-00000", f"many-{PIPELINES - 1:05d}"
        raw = _artifact("raw_corpus", "raw_corpus", 0).digest
        asked = [
            ["index"],
            ["index"],
            ["runs"],
            ["ancestors", last],
            ["descendants", raw],
            ["lineage", last],
            ["used", "--code", "c0de7"],
            ["used", "--license", "MIT"],
            ["used", "--package", "corpus-7"],
            ["used", "--corpus", raw],
            ["diff", first, last],
            ["gc"],
        ]
        return [_time(home, question) for question in asked]


def make_home(home: Path, pipelines: int) -> None:
    """A home as so many pipelines of ten stages leave it: MLflow's tables, records, sources."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.create_experiment("k2", str(home / "mlflow-artifacts"))
    import sqlite3

    with sqlite3.connect(home / "mlflow.db") as database:
        for number in range(pipelines):
            for run_id, name, tags, record in _runs(number):
                _insert(database, experiment, run_id, name, tags, number)
                folder = home / "mlflow-artifacts" / run_id / "artifacts"
                folder.mkdir(parents=True)
                if record:
                    (folder / "record.json").write_text(record.model_dump_json())
                else:
                    (folder / "recipe.json").write_text('{"name": "many"}')
    _publish_sources(home)


def _runs(number: int) -> Iterator[tuple[str, str, dict[str, str], LineageRecord | None]]:
    flyte_run, code = f"many-{number:05d}", f"c0de{number % 50:036d}"
    about = {"flyte_run": flyte_run, "code": code, "stages": "10"}
    yield f"{number:05d}pipeline".ljust(32, "0"), flyte_run, {"kind": "pipeline", **about}, None
    for stage, inputs, output in _CHAIN:
        kinds = {"base": "checkpoint", "sft": "checkpoint", "policy": "checkpoint"}
        record = LineageRecord(
            stage=stage,
            version="1",
            configs={"config": {"seed": number, "lr": 1 / (number + 1)}},
            inputs={i: _artifact(kinds.get(i, i), i, number) for i in inputs},
            outputs={output: _artifact(kinds.get(output, output), output, number)},
        )
        tags = {"kind": "stage", "stage": stage, "version": "1", **about}
        for way, artifacts in (("inputs", record.inputs), ("outputs", record.outputs)):
            tags[way] = json.dumps({name: a.digest for name, a in artifacts.items()})
        yield f"{number:05d}{stage}".ljust(32, "0"), stage, tags, record


def _artifact(kind: str, name: str, number: int) -> Artifact:
    from hashlib import sha256

    if name == "raw_corpus":
        return Artifact(
            kind=kind, digest=_source_digest(number % _CORPORA), counts={"documents": 9}
        )
    digest = sha256(f"{name} {number}".encode()).hexdigest()
    return Artifact(kind=kind, digest=f"sha256:{digest}", counts={"bytes": float(number)})


def _sources(number: int) -> bytes:
    license = "MIT" if number % 10 == 0 else "CC0-1.0"
    about = {"license": license, "package": f"corpus-{number}", "version": "1"}
    return json.dumps({f"source {number}": about}).encode()


def _source_digest(number: int) -> str:
    from hashlib import sha256

    from k2core.store import ManifestEntry, digest_of

    content = _sources(number)
    entry = ManifestEntry("sources.json", len(content), sha256(content).hexdigest())
    return digest_of([entry])


def _publish_sources(home: Path) -> None:
    from k2core.store import Draft, Store
    from schemas.artifacts import RawCorpus

    store = Store(home / "store")
    for number in range(_CORPORA):
        out = store.workspace("raw").out
        (out / "sources.json").write_bytes(_sources(number))
        store.publish(RawCorpus, Draft(out, {"documents": 9}))


def _insert(
    database: object, experiment: str, run_id: str, name: str, tags: dict[str, str], number: int
) -> None:
    import sqlite3

    assert isinstance(database, sqlite3.Connection)
    started = 1_700_000_000_000 + number * 600_000
    database.execute(
        "insert into runs (run_uuid, name, source_type, entry_point_name, user_id, status, "
        "start_time, end_time, lifecycle_stage, artifact_uri, experiment_id) "
        "values (?, ?, 'LOCAL', '', 'k2', 'FINISHED', ?, ?, 'active', '', ?)",
        (run_id, name, started, started + 60_000, int(experiment)),
    )
    rows = [(f"k2.{key}", value, run_id) for key, value in tags.items()]
    database.executemany("insert into tags (key, value, run_uuid) values (?, ?, ?)", rows)


def _time(home: Path, question: list[str]) -> Row:
    environment = {**os.environ, "K2_HOME": str(home)}
    command = [sys.executable, "-m", "workflows.cli", *question]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    said = (done.stdout or done.stderr).splitlines()
    remark = said[0][:60] if done.returncode == 0 and said else f"FAILED: {said[-1:]}"
    return Row(" ".join(["k2", *question])[:48], seconds, remark)


if __name__ == "__main__":
    make_home(Path(sys.argv[1]), int(sys.argv[2]))
