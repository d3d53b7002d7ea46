"""`k2 verify`: whatever byte is flipped, lost or added along a chain, it is found and named."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from infra.lineage import pipeline_run
from schemas.artifacts import Checkpoint, CleanCorpus, RawCorpus, Release
from tasks.store import open_store
from tests.workflows.small_run import WEIGHTS, finish, parquet, publish, release_files
from workflows.cli import app


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
        release = publish(Release, release_files(records, base, policy))
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
