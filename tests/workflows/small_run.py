"""A run as far as digests reach: its stages are recorded, its bytes are small."""

import hashlib
import json

import polars as pl

from infra.home import home
from infra.lineage import StageRun
from k2core.store import Draft
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from tasks.store import open_store
from tasks.work import work_key

Files = dict[str, bytes]
NAME = "run-1"
WEIGHTS: Files = {
    "model.safetensors": bytes(range(200)),
    "config.json": b'{"hidden_size": 8}',
    "tokenizer.json": json.dumps({"model": {"type": "BPE"}}).encode(),
    "training.json": b'{"loss": 1.5}',
}


def parquet() -> bytes:
    """A table of two documents."""
    frame = pl.DataFrame({"doc_id": ["a", "b"], "text": ["one", "two"]})
    path = home() / "rows.parquet"
    frame.write_parquet(path)
    return path.read_bytes()


def publish(kind: type[Artifact], files: Files) -> Artifact:
    """An artifact of these files."""
    out = open_store().workspace("work").out
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return open_store().publish(kind, Draft(out, {"files": float(len(files))}))


def finish(
    stage: str,
    inputs: dict[str, Artifact],
    outputs: dict[str, Artifact],
    run_name: str = NAME,
    version: str = "1",
) -> LineageRecord:
    """A stage that was done, with all that it leaves."""
    record = LineageRecord(
        stage=stage, version=version, configs={"config": {"seed": 7}}, inputs=dict(inputs)
    )
    run = StageRun(record, work_key(record), run_name, "a0")
    run.file("loss.png", b"a picture of " + stage.encode())
    page = f"<table>{stage}</table>".encode()
    run.finish(outputs, report=page)
    place = home() / "reports" / run_name
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{stage}.html").write_bytes(page)
    open_store().note_result(work_key(record), run.record.model_dump_json().encode())
    return run.record


def release_files(records: list[LineageRecord], base: Artifact, policy: Artifact) -> Files:
    """What a release of two checkpoints holds."""
    files = {"lineage.json": json.dumps([r.model_dump(mode="json") for r in records]).encode()}
    for which, artifact in (("base", base), ("policy", policy)):
        folder = open_store().open(artifact)
        files |= {f"{which}/{p.name}": p.read_bytes() for p in folder.iterdir()}
        files[f"{which}/README.md"] = f"# {which}\n\nWeights: `{artifact.digest}`.".encode()
    lines = [f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(files)]
    return {**files, "SHA256SUMS": "".join(lines).encode()}
