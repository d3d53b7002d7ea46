"""`k2 verify`: whatever byte is flipped, lost or added along a chain, it is found and named."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from infra.home import home as k2_home
from infra.lineage import StageRun, pipeline_run
from k2core.store import Draft
from schemas.artifacts import Checkpoint, CleanCorpus, RawCorpus, Release
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from tasks.store import open_store
from tasks.work import work_key
from workflows.cli import app

Files = dict[str, bytes]
TOKENIZER = json.dumps({"model": {"type": "BPE"}}).encode()
WEIGHTS: Files = {
    "model.safetensors": bytes(range(200)),
    "config.json": b'{"hidden_size": 8}',
    "tokenizer.json": TOKENIZER,
    "training.json": b'{"loss": 1.5}',
}


class Said(BaseModel):
    """What `--json` prints, as far as it is looked at."""

    divergences: list[dict[str, str]]
    checked: dict[str, int]


class Made(NamedTuple):
    """A home with a whole small run."""

    home: Path
    release: Path
    digests: dict[str, str]

    def verify(self, *arguments: str) -> tuple[int, Said]:
        shown = CliRunner().invoke(app, ["verify", *arguments, "--json"])
        assert shown.exit_code in (0, 1), (shown.exception, shown.output)
        return shown.exit_code, Said.model_validate_json(shown.stdout)


def parquet() -> bytes:
    frame = pl.DataFrame({"doc_id": ["a", "b"], "text": ["one", "two"]})
    path = k2_home() / "rows.parquet"
    frame.write_parquet(path)
    return path.read_bytes()


def publish(kind: type[Artifact], files: Files) -> Artifact:
    out = open_store().workspace("work").out
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return open_store().publish(kind, Draft(out, {"files": float(len(files))}))


def finish(stage: str, inputs: dict[str, Artifact], outputs: dict[str, Artifact]) -> LineageRecord:
    record = LineageRecord(
        stage=stage, version="1", configs={"config": {"seed": 7}}, inputs=dict(inputs)
    )
    run = StageRun(record, work_key(record), "run-1", "a0")
    run.file("loss.png", b"a picture of " + stage.encode())
    page = f"<table>{stage}</table>".encode()
    run.finish(outputs, report=page)
    place = k2_home() / "reports" / "run-1"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{stage}.html").write_bytes(page)
    open_store().note_result(work_key(record), run.record.model_dump_json().encode())
    return run.record


@pytest.fixture(scope="module")
def made(home: Path) -> Made:
    """ingest, clean, pretrain, rl, release, as far as digests reach; the bytes are small."""
    open_store.cache_clear()
    with pipeline_run("run-1", {"name": "run", "clean": {"seed": 7}}):
        raw = publish(RawCorpus, {"documents/0.parquet": parquet(), "sources.json": b"{}"})
        clean = publish(CleanCorpus, {"kept/0.parquet": parquet(), "funnel.json": b"{}"})
        base = publish(Checkpoint, WEIGHTS)
        policy = publish(Checkpoint, {**WEIGHTS, "model.safetensors": b"after reinforcement"})
        records = [
            finish("ingest", {}, {"raw_corpus": raw}),
            finish("clean", {"raw": raw}, {"clean_corpus": clean}),
            finish("pretrain", {"clean": clean}, {"checkpoint": base}),
            finish("rl", {"base": base}, {"policy": policy}),
        ]
        files = {"lineage.json": json.dumps([r.model_dump(mode="json") for r in records]).encode()}
        for which, artifact in (("base", base), ("policy", policy)):
            folder = open_store().open(artifact)
            files |= {f"{which}/{p.name}": p.read_bytes() for p in folder.iterdir()}
            files[f"{which}/README.md"] = f"# {which}\n\nWeights: `{artifact.digest}`.".encode()
        lines = [f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(files)]
        release = publish(Release, {**files, "SHA256SUMS": "".join(lines).encode()})
        finish("release", {"base": base, "policy": policy}, {"release": release})
    digests = {a.kind: a.digest[7:] for a in (raw, clean, base, release)}
    return Made(home, open_store().open(release), {**digests, "policy": policy.digest[7:]})


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def every_file(made: Made) -> list[Path]:
    """All that the run left and that is no cache."""
    below = [made.home / name for name in ("store", "mlflow-artifacts", "reports")]
    files = [path for folder in below for path in folder.rglob("*") if path.is_file()]
    return sorted(
        p for p in files if p.suffix not in (".verified", ".lock") and p.parent != below[0]
    )


def test_what_nobody_touched_is_verified(made: Made) -> None:
    code, said = made.verify("run-1")
    assert (code, said.divergences) == (0, [])
    assert said.checked.pop("bytes") > 1000
    assert said.checked == {
        "artifacts": 7,
        "files": 24,
        "kept files": 11,
        "records": 9,
        "reports": 5,
    }


def test_a_flipped_byte_of_any_file_is_found_and_named(made: Made) -> None:
    files = every_file(made)
    kinds = {path.name for path in files}
    assert {"model.safetensors", "tokenizer.json", "0.parquet", "config.json", "README.md"} <= kinds
    assert {"record.json", "recipe.json", "kept.json", "loss.png", "clean.html"} <= kinds
    assert {"SHA256SUMS", "lineage.json", f"{made.digests['policy']}.json"} <= kinds
    for number, path in enumerate(files):
        place = number * 7 % path.stat().st_size
        flip(path, place)
        code, said = made.verify("run-1")
        flip(path, place)
        assert code == 1, f"byte {place} of {path} is another, and nobody saw it"
        named = {d["file"].rpartition("/")[2] for d in said.divergences}
        assert path.name in named, (path, said)
    assert made.verify("run-1")[0] == 0


def test_missing_and_extra_files_are_told_apart(made: Made) -> None:
    folder = made.home / "store" / "objects" / made.digests["policy"]
    (folder / "extra.bin").write_bytes(b"x")
    (folder / "config.json").rename(folder / "aside")
    said = made.verify(made.digests["policy"][:9])[1].divergences
    (folder / "aside").rename(folder / "config.json")
    (folder / "extra.bin").unlink()
    assert [(d["what"], d["file"]) for d in said] == [
        ("extra", "aside"),
        ("missing", "config.json"),
        ("extra", "extra.bin"),
    ]


def test_the_first_in_the_chain_comes_first(made: Made) -> None:
    paths = [
        made.home / "store" / "objects" / made.digests[kind] / name
        for kind, name in (("policy", "config.json"), ("clean_corpus", "kept/0.parquet"))
    ]
    for path in paths:
        flip(path, 3)
    shown = CliRunner().invoke(app, ["verify", "run-1"])
    for path in paths:
        flip(path, 3)
    assert shown.exit_code == 1
    assert (
        f"first: clean_corpus {made.digests['clean_corpus'][:12]} of clean: kept/0" in shown.stdout
    )


Change = Callable[[Path], object]
ALONE: dict[str, tuple[Change, str]] = {
    "nothing": (lambda folder: None, ""),
    "another place": (lambda folder: folder.rename(folder.with_name("elsewhere")), ""),
    "a file more": (lambda folder: (folder / "run.py").write_text("x"), "run.py"),
    "a file less": (lambda folder: (folder / "base/training.json").unlink(), "base/training.json"),
    "no sums": (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS"),
    "weights": (lambda folder: flip(folder / "policy/model.safetensors", 3), "policy/model.saf"),
    "tokenizer": (lambda folder: flip(folder / "policy/tokenizer.json", 5), "policy/tokenizer"),
    "card": (lambda folder: flip(folder / "policy/README.md", -3), "policy/README.md"),
    "lineage": (lambda folder: flip(folder / "lineage.json", 90), "lineage.json"),
    "weights and their sum": (lambda folder: forge(folder, "policy/model.safetensors"), "lineage"),
    "config and its sum": (lambda folder: forge(folder, "base/config.json"), "lineage.json"),
}


def forge(folder: Path, name: str) -> None:
    """Change a file, and its line of the sums with it."""
    before = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    flip(folder / name, 2)
    after = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(before, after))


@pytest.mark.parametrize("what", ALONE)
def test_a_downloaded_release_is_verified_alone(
    what: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "k2-tiny"
    shutil.copytree(made.release, folder)
    monkeypatch.setenv("K2_HOME", str(tmp_path / "nothing"))
    change, named = ALONE[what]
    change(folder)
    code, said = made.verify(str(next(tmp_path.iterdir())))
    assert code == bool(named), said
    assert any(named in d["file"] for d in said.divergences) == bool(named), said


def test_a_model_alone_is_held_to_its_card(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(made.release / "policy", folder)
    assert made.verify(str(folder))[0] == 0
    flip(folder / "tokenizer.json", 1)
    assert made.verify(str(folder))[0] == 1


def test_what_states_no_digest_and_what_is_unknown_is_refused(made: Made, tmp_path: Path) -> None:
    for target, said in (
        (str(tmp_path), "states no digest of itself: give a release"),
        ("nobody", "is neither a recorded run"),
    ):
        shown = CliRunner().invoke(app, ["verify", target])
        assert shown.exit_code == 2
        assert said in shown.stderr
