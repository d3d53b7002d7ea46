"""`k2 attest`: what is signed is verified by the formats' own tools, and no change passes."""

import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mlcroissant
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from model_signing import verifying
from pydantic import BaseModel, TypeAdapter
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
from typer.testing import CliRunner

from infra.home import ROOT
from infra.lineage import pipeline_run
from infra.tracking import client, find_runs
from schemas.artifacts import Checkpoint, CleanCorpus, Evaluation, RawCorpus, Release
from schemas.evaluate import Rate
from tasks.store import open_store
from tests.workflows.small_run import NAME, WEIGHTS, finish, parquet, publish, release_files
from tests.workflows.tampering import TAMPERED, forge
from workflows.attest.keys import make_key
from workflows.cli import app

if TYPE_CHECKING:
    from tests.s3 import S3

SOURCES = {
    "encyclopedia": {"license": "CC-BY-SA-4.0", "package": "p", "version": "1", "documents": 2},
    "code": {"license": "MIT OR Apache-2.0", "package": "q", "version": "2", "documents": 1},
}
RATE = Rate(passed=1, total=2, rate=0.5, low=0.1, high=0.9)
SCORES = {"families": {"lookup": {"policy": RATE.model_dump()}}, "perplexity": {}, "other": {}}


class Named(BaseModel):
    """A resource of a statement."""

    name: str
    digest: dict[str, str]
    annotations: dict[str, object] = {}


class Build(BaseModel):
    """`buildDefinition`, as far as it is looked at."""

    externalParameters: dict[str, object]  # noqa: N815
    resolvedDependencies: list[Named]  # noqa: N815


class Predicate(BaseModel):
    """Of SLSA."""

    buildDefinition: Build  # noqa: N815


class Provenance(BaseModel):
    """A statement of it."""

    subject: list[Named]
    predicate: Predicate


class Said(BaseModel):
    """What `--json` prints, as far as it is looked at."""

    divergences: list[dict[str, str]]
    checked: dict[str, int]
    notes: list[str]


class Signed(NamedTuple):
    """A home with an attested run, and the release as it goes out."""

    home: Path
    out: Path
    public: Path

    @property
    def place(self) -> Path:
        return self.out / "attestations"


def run(*arguments: str) -> str:
    shown = CliRunner().invoke(app, list(arguments))
    assert shown.exit_code == 0, (shown.exception, shown.output)
    return shown.stdout


def verify(folder: Path, *arguments: str) -> Said:
    shown = CliRunner().invoke(app, ["verify", str(folder), "--json", *arguments])
    assert shown.exit_code in (0, 1), (shown.exception, shown.output)
    said = Said.model_validate_json(shown.stdout)
    assert shown.exit_code == bool(said.divergences)
    return said


def record_run() -> None:
    """A run of two documents, up to its release."""
    with pipeline_run(NAME, {"name": "run"}):
        raw = publish(
            RawCorpus,
            {"documents/0.parquet": parquet(), "sources.json": json.dumps(SOURCES).encode()},
        )
        clean = publish(
            CleanCorpus,
            {"kept/0.parquet": parquet(), "sources.json": json.dumps(SOURCES).encode()},
        )
        finish("ingest", {}, {"raw_corpus": raw}, "earlier", version="0")  # the same bytes
        base = publish(Checkpoint, WEIGHTS)
        policy = publish(Checkpoint, {**WEIGHTS, "model.safetensors": b"after reinforcement"})
        evaluation = publish(Evaluation, {"scores.json": json.dumps(SCORES).encode()})
        records = [
            finish("ingest", {}, {"raw_corpus": raw}),
            finish("clean", {"raw": raw}, {"clean_corpus": clean}),
            finish("pretrain", {"clean": clean}, {"checkpoint": base}),
            finish("rl", {"base": base}, {"policy": policy}),
            finish("evaluate", {"policy": policy}, {"evaluation": evaluation}),
        ]
        files = release_files(records, base, policy)
        notice = b"Of two documents."
        line = f"{hashlib.sha256(notice).hexdigest()}  base/NOTICE.md\n".encode()
        proof = {"max_logit_difference": 0.0, "readers": []}
        parity = json.dumps({"base": proof, "policy": proof}).encode()
        line += f"{hashlib.sha256(parity).hexdigest()}  parity.json\n".encode()
        files |= {"base/NOTICE.md": notice, "SHA256SUMS": files["SHA256SUMS"] + line}
        files |= {"parity.json": parity}
        release = publish(Release, files)
        given = {"base": base, "policy": policy, "evaluation": evaluation}
        finish("release", given, {"release": release})


@pytest.fixture(scope="module")
def signed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    open_store.cache_clear()
    record_run()
    out = tmp_path_factory.mktemp("out") / "k2-tiny"
    run("attest", NAME, "--out", str(out))
    yield Signed(home, out, home / "keys" / "signing.pub")
    open_store.cache_clear()


def test_what_was_attested_is_verified_with_the_folder_and_with_the_run(signed: Signed) -> None:
    alone = verify(signed.out, "--key", str(signed.public))
    recorded = verify(Path(NAME))
    for said in (alone, recorded):
        assert said.divergences == []
        # 6 stages, 2 models and what names all.
        assert said.checked["signatures"] == 9
    assert "(yours)" in alone.notes[-1]
    assert "anybody's who could write this folder" in recorded.notes[-1]


@pytest.mark.slow
def test_a_run_in_a_bucket_and_on_a_server_is_attested_likewise(
    server: str, s3: "S3", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_STORE", server)
    open_store.cache_clear()
    record_run()
    out = tmp_path / "k2-tiny"
    run("attest", NAME, "--out", str(out))
    public = tmp_path / "home" / "keys" / "signing.pub"
    alone, recorded = verify(out, "--key", str(public)), verify(Path(NAME))
    open_store.cache_clear()
    for said in (alone, recorded):
        assert said.divergences == []
        assert said.checked["signatures"] == 9
    assert s3.count("PUT", "attestations/") >= 9


def test_the_release_is_the_same_and_holds_no_secret(signed: Signed) -> None:
    secret = signed.home / "keys" / "signing.pem"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    body = b"".join(secret.read_bytes().splitlines()[1:-1])
    kept = [path for path in signed.home.rglob("*") if path.is_file() and path != secret]
    for path in [*kept, *(p for p in signed.out.rglob("*") if p.is_file())]:
        content = path.read_bytes().replace(b"\n", b"")
        assert body not in content, path
        assert b"PRIVATE KEY" not in content, path
    made = find_runs(stage="release", flyte_run=NAME)[0]
    digest = json.loads(made.data.tags["k2.outputs"])["release"]
    assert f"the release as a whole is {digest}" in verify(signed.out).notes
    logged = client().list_artifacts(made.info.run_id, "attestations")
    assert "attestations/bom.cdx.json" in {file.path for file in logged}


def read_statement(path: Path, public: Path) -> dict[str, object]:
    """By securesystemslib alone."""
    key = SSlibKey.from_crypto(
        load_pem_public_key(public.read_bytes()),
        keyid=hashlib.sha256(public.read_bytes()).hexdigest(),
    )
    envelope = Envelope.from_dict(json.loads(path.read_bytes()))
    envelope.verify([key], 1)
    stated: dict[str, object] = json.loads(envelope.payload)
    return stated


def test_public_tools_verify_every_signature(signed: Signed) -> None:
    for model in ("base", "policy"):
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=signed.public)
        verifier.verify(signed.out / model, signed.place / "models" / f"{model}.sig")
    stages = {path.name.partition(".")[0] for path in (signed.place / "provenance").iterdir()}
    assert stages == {"ingest", "clean", "pretrain", "rl", "evaluate", "release"}
    for path in signed.place.rglob("*.dsse.json"):
        stated = read_statement(path, signed.public)
        assert stated["_type"] == "https://in-toto.io/Statement/v1"
    stated = read_statement(signed.place / "provenance" / "release.dsse.json", signed.public)
    whole, *files = TypeAdapter(list[Named]).validate_python(stated["subject"])
    for file in files:
        content = (signed.out / file.name).read_bytes()
        assert file.digest == {"sha256": hashlib.sha256(content).hexdigest()}
    manifest = signed.place / "manifests" / f"{whole.digest['sha256']}.json"
    assert hashlib.sha256(manifest.read_bytes()).hexdigest() == manifest.stem


def test_provenance_chains_by_digest_from_the_release_to_the_sources(signed: Signed) -> None:
    made: dict[str, str] = {}
    used: dict[str, set[str]] = {}
    for path in (signed.place / "provenance").iterdir():
        stated = Provenance.model_validate(read_statement(path, signed.public))
        stage = path.name.partition(".")[0]
        build = stated.predicate.buildDefinition
        assert build.externalParameters["configs"] == {"config": {"seed": 7}}
        made |= {one.digest["sha256"]: stage for one in stated.subject if one.annotations}
        inputs = (one for one in build.resolvedDependencies if "kind" in one.annotations)
        used[stage] = {one.digest["sha256"] for one in inputs}
    assert {stage: {made[d] for d in digests} for stage, digests in used.items()} == {
        "ingest": set(),
        "clean": {"ingest"},
        "pretrain": {"clean"},
        "rl": {"pretrain"},
        "evaluate": {"rl"},
        "release": {"pretrain", "rl", "evaluate"},
    }


def test_the_bill_of_materials_is_of_its_schema_and_whole(signed: Signed) -> None:
    text = (signed.place / "bom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"modelCard"', '"model-card"')) is not None
    parts = {part["bom-ref"]: part for part in json.loads(text)["components"]}
    assert {"model:base", "model:policy", "source:encyclopedia", "library:torch"} <= parts.keys()
    card = parts["model:policy"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "pass@1",
            "slice": "held-out problems: lookup",
            "value": "0.5000",
            "confidenceInterval": {"lowerBound": "0.1000", "upperBound": "0.9000"},
        }
    ]
    corpora = [ref for ref in parts if ref.startswith("data:")]
    assert {one["ref"] for one in card["modelParameters"]["datasets"]} == set(corpora)
    assert [parts[ref]["licenses"] for ref in corpora] == [
        [{"license": {"id": "CC-BY-SA-4.0"}}, {"license": {"name": "MIT OR Apache-2.0"}}]
    ] * 2
    assert parts["source:code"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]


def test_croissant_reads_the_records_of_the_store(signed: Signed) -> None:
    for kind, table in (("raw_corpus", "documents"), ("clean_corpus", "kept")):
        beside = signed.home / "store" / f"{kind}.croissant.json"
        shutil.copy(signed.place / beside.name, beside)
        dataset = mlcroissant.Dataset(beside)
        assert dataset.metadata.issues.errors == set()
        rows = list(dataset.records(table))
        assert [row[f"{table}/text"] for row in rows] == [b"one", b"two"]
        assert set(dataset.metadata.license) == {"CC-BY-SA-4.0", "MIT OR Apache-2.0"}


def test_the_summary_says_what_is_unknown(signed: Signed) -> None:
    summary = json.loads((signed.place / "training-summary.json").read_bytes())
    sections = [title.partition(" ")[0] for title in summary]
    assert sections == ["1.1", "1.2", "1.3", *(f"2.{n}" for n in range(1, 7)), "3.1", "3.2", "3.3"]
    provider = summary["1.1 Provider identification"]["Provider name and contact details"]
    assert provider.startswith("Unknown")
    [texts] = summary["2.1 Publicly available datasets"].values()
    assert "encyclopedia 1 (text, 2 documents, CC-BY-SA-4.0)" in texts
    page = (signed.place / "training-summary.md").read_text()
    assert all(f"## {title}\n" in page for title in summary)


def test_of_a_base_that_was_brought_the_data_are_unknown(signed: Signed, tmp_path: Path) -> None:
    name = "brought-1"
    about = {"moonlight": {"license": "MIT", "package": "hf://org/moonlight", "version": "abc"}}
    raw = publish(RawCorpus, {"sources.json": json.dumps(SOURCES).encode(), "other": b"text"})
    base = publish(Checkpoint, {**WEIGHTS, "sources.json": json.dumps(about).encode()})
    policy = publish(Checkpoint, {**WEIGHTS, "model.safetensors": b"after"})
    with pipeline_run(name, {}):
        records = [
            finish("adopt", {}, {"checkpoint": base}, name),
            finish("ingest", {}, {"raw_corpus": raw}, name),  # held-out text is of it
            finish("rl", {"base": base}, {"policy": policy}, name),
        ]
        release = publish(Release, release_files(records, base, policy))
        given = {"raw": raw, "base": base, "policy": policy}
        finish("release", given, {"release": release}, name)
    out = tmp_path / "brought"
    run("attest", name, "--out", str(out))
    assert verify(out, "--key", str(signed.public)).divergences == []
    summary = json.loads((out / "attestations" / "training-summary.json").read_bytes())
    told = summary["1.2 Model identification"]["Model dependencies"]
    assert told.startswith("moonlight abc (text, MIT).")
    assert told.endswith("What it was trained on is unknown.")
    assert "encyclopedia" not in json.dumps(summary["2.1 Publicly available datasets"])
    parts = json.loads((out / "attestations" / "bom.cdx.json").read_bytes())["components"]
    [card] = [part["modelCard"] for part in parts if part["bom-ref"] == "model:policy"]
    assert card["modelParameters"]["datasets"] == []


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_refused_and_named(what: str, signed: Signed, tmp_path: Path) -> None:
    folder = tmp_path / "k2-tiny"
    shutil.copytree(signed.out, folder)
    change, named = TAMPERED[what]
    change(folder)
    said = verify(folder, "--key", str(signed.public))
    assert named in said.divergences[0]["file"], said


def test_who_signs_all_again_is_told_by_a_key_that_one_knows(
    signed: Signed, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other.pem")
    run("attest", NAME, "--key", str(other.path), "--out", str(tmp_path / "again"))
    assert verify(tmp_path / "again").divergences == []
    refused = verify(tmp_path / "again", "--key", str(signed.public))
    assert "not signed by key" in refused.divergences[0]["what"]
    run("attest", NAME)  # as it was, for the other tests


def test_a_model_that_is_pushed_takes_its_signature_along(signed: Signed, tmp_path: Path) -> None:
    folder = tmp_path / "pushed"
    run("push", NAME, "--to", str(folder), "--model", "base", "--yes")
    key = ["--key", str(signed.public)]
    said = verify(folder, *key)
    assert (said.divergences, said.checked["signatures"]) == ([], 1)
    public = verifying.Config().use_elliptic_key_verifier(public_key=signed.public)
    public.set_ignore_unsigned_files(True).verify(folder, folder / "model.sig")
    changes: tuple[Callable[[], None], ...] = (
        lambda: forge(folder, "NOTICE.md"),
        lambda: forge(folder, "model.sig"),
        lambda: (folder / "model.sig").unlink(),
    )
    for change in changes:
        change()
        assert "model.sig" in {d["file"] for d in verify(folder, *key).divergences}


def test_bad_keys_and_targets_are_refused(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no key")
    key = ["--key", str(signed.public)]
    digest = json.loads(find_runs(stage="ingest", flyte_run=NAME)[0].data.tags["k2.outputs"])[
        "raw_corpus"
    ][7:]
    for arguments, said in (
        (["keys", "new", str(signed.home / "keys" / "signing.pem")], "a key is never replaced"),
        (["attest", NAME, "--key", str(tmp_path / "text.pem")], "is no private key"),
        (["attest", NAME, "--key", str(signed.public)], "is no private key"),
        (["attest", NAME, "--out", str(signed.out)], "holds files already"),
        (["attest", "nobody"], "is neither a recorded run"),
        (["verify", str(signed.out), "--key", str(tmp_path / "text.pem")], "is no public key"),
        (["verify", str(signed.home / "store" / "objects" / digest), *key], "is no release"),
    ):
        shown = CliRunner().invoke(app, arguments)
        assert shown.exit_code == 2
        assert said in shown.stderr
    assert run("keys", "show") == signed.public.read_text()


@pytest.mark.slow
def test_a_stranger_s_commands_of_the_docs_work(signed: Signed) -> None:
    """Of docs/audit.md, with no code of this repository in reach."""
    page = (ROOT / "docs" / "audit.md").read_text()
    [block] = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    place = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=signed.out,
        env={"PATH": f"{place}:/usr/bin:/bin", "HOME": str(signed.home), "KEY": str(signed.public)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Verification succeeded") == 2
