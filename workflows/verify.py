"""`k2 verify`: recompute every digest along a chain, and name the first that diverged."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import ValidationError

from infra.home import home
from infra.index import RunIndex
from infra.kept import kept_files, read_kept
from infra.runs import SeenRun
from k2core.store import ArtifactCorruptError, ArtifactMissingError, manifest_of
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.recipe import STAGES
from tasks.store import open_store
from tasks.work import work_key
from workflows.attest.kept import attested_run
from workflows.attest.places import FOLDER, PUBLIC, TAG
from workflows.errors import NotRecordedError
from workflows.find import LATEST, find_pipeline, locate
from workflows.verified import ChainVerification
from workflows.verify_folder import check_release, verify_folder

if TYPE_CHECKING:
    from workflows.attest.identity import Signatory


def verify(target: str, key: Path | None, as_json: bool, by: "Signatory | None" = None) -> bool:
    """Verify and print; whether all is what was recorded, and signed with this public key."""
    is_folder = Path(target).is_dir()
    found = verify_folder(Path(target), key, by) if is_folder else verify_recorded(target, key, by)
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else found.describe())
    return not found.divergences


def verify_recorded(
    target: str, key: Path | None, by: "Signatory | None" = None
) -> ChainVerification:
    """A run with all that it descends from, or what led to an artifact, oldest first."""
    with RunIndex() as index:
        pipeline = _pipeline(target)
        found = ChainVerification(pipeline.name if pipeline else target)
        runs = index.runs("pipeline = ?", [pipeline.tags["flyte_run"]]) if pipeline else []
        done = [r for r in runs if r.tags.get("kind") == "stage" and r.status == "FINISHED"]
        if pipeline:
            _check_kept(pipeline, found)
            roots = [artifact for run in done for artifact in _outputs(index, run)]
        else:
            roots = [locate(index, target)]
        chain = {run.run_id: run for run in [*done, *_makers(index, roots)]}
        seen: set[str] = set()
        for run in sorted(chain.values(), key=_place):
            _check_stage(index, run, seen, found)
    attested = [now for stage in chain.values() if (now := attested_run(stage))]
    for now in attested:
        _check_attested(now, key, by, found)
    if (key or by) and not attested:
        found.diverged("release", "missing", FOLDER)
    if unsealed := found.checked.pop("runs without seal", 0):
        found.notes.append(f"{unsealed} runs are of code that sealed no files: records alone")
    return found


def _pipeline(target: str) -> SeenRun | None:
    try:
        return find_pipeline(target)
    except NotRecordedError:
        if target == LATEST:
            raise
        return None


def _outputs(index: RunIndex, run: SeenRun) -> list[Artifact]:
    rows = index.rows("select artifact from edges where run = ? and way = 'output'", [run.run_id])
    return [Artifact.model_validate_json(row["artifact"]) for row in rows]


def _makers(index: RunIndex, roots: list[Artifact]) -> Iterator[SeenRun]:
    """The runs that made what artifacts descend from, and themselves."""
    near = {root.digest for root in roots}
    for root in roots:
        near |= {artifact.digest for artifact in index.related(root.digest, forward=False)}
    for digest in near:
        if made := index.maker(digest):
            yield made.run


def _place(run: SeenRun) -> tuple[int, int]:
    stage = run.tags.get("stage", "")
    return STAGES.index(stage) if stage in STAGES else len(STAGES), run.started


def _check_stage(index: RunIndex, run: SeenRun, seen: set[str], found: ChainVerification) -> None:
    """A stage's own statements, then the bytes of what it made."""
    where = f"{run.tags['stage']} of {run.tags.get('flyte_run') or run.run_id}"
    _check_kept(run, found)
    try:
        record = LineageRecord.model_validate_json(read_kept(run.run_id, "record.json"))
    except FileNotFoundError:
        found.diverged(where, "missing", "record.json")
        return
    except ValueError:
        found.diverged(where, "changed", "record.json")
        return
    found.count("records")
    for what in _contradictions(run, record):
        found.diverged(where, what, "record.json")
    for name, artifact in record.inputs.items():
        if index.maker(artifact.digest) is None:
            found.diverged(where, f"uses {name} {artifact.digest[7:19]}, made by nobody", "input")
    result = open_store().result(run.tags["key"]) if "key" in run.tags else None
    if result is not None and not _same_outputs(result, record):
        found.diverged(where, "changed", f"results/{run.tags['key']}")
    for artifact in record.outputs.values():
        if artifact.digest not in seen:
            seen.add(artifact.digest)
            _check_artifact(record.stage, artifact, found)


def _check_attested(
    run: SeenRun, key: Path | None, by: "Signatory | None", found: ChainVerification
) -> None:
    """What a release's run keeps of `k2 attest`, by the key that its tag names."""
    from workflows.attest.check import check_attestations

    record = LineageRecord.model_validate_json(read_kept(run.run_id, "record.json"))
    release = next(a for a in record.outputs.values() if a.kind == "release")
    if open_store().find_fault(release):  # said already
        return
    try:
        folder = kept_files(run.run_id, FOLDER)
    except FileNotFoundError:
        found.diverged(f"release of {run.tags.get('flyte_run')}", "missing", FOLDER)
        return
    public = folder / PUBLIC
    if public.is_file() and hashlib.sha256(public.read_bytes()).hexdigest() != run.tags[TAG]:
        found.diverged(FOLDER, "is another key than the run's tag k2.attested names", PUBLIC)
    manifest = open_store().manifest(release)
    check_attestations(open_store().open(release), manifest, folder, key, found, by)


def _contradictions(run: SeenRun, record: LineageRecord) -> Iterator[str]:
    """Where a record and MLflow's tags of its run say different things."""
    for way, artifacts in (("inputs", record.inputs), ("outputs", record.outputs)):
        digests = {name: artifact.digest for name, artifact in artifacts.items()}
        if json.loads(run.tags.get(way, "{}")) != digests:
            yield f"names other {way} than the run's tag k2.{way}"
    if (record.stage, record.version) != (run.tags.get("stage"), run.tags.get("version")):
        yield "names another stage or version than the run's tags"
    if "key" in run.tags and work_key(record) != run.tags["key"]:
        yield "its configs and inputs are not those of the run's tag k2.key"


def _same_outputs(result: bytes, record: LineageRecord) -> bool:
    try:
        return LineageRecord.model_validate_json(result) == record
    except ValidationError:
        return False


def _check_kept(run: SeenRun, found: ChainVerification) -> None:
    """The files that a run keeps against their digests, and those against the run's tag."""
    where = f"{run.tags.get('stage') or 'pipeline'} of {run.tags.get('flyte_run') or run.run_id}"
    try:
        seal = read_kept(run.run_id, "kept.json")
    except FileNotFoundError:
        if "kept" in run.tags:
            found.diverged(where, "missing", "kept.json")
        else:
            found.count("runs without seal")
        return
    if hashlib.sha256(seal).hexdigest() != run.tags.get("kept"):
        found.diverged(where, "changed", "kept.json")
    try:
        stated = json.loads(seal)
        files, report = dict(stated["files"]), stated.get("report")
    except (ValueError, KeyError, TypeError):
        return
    for name, sha256 in files.items():
        found.count("kept files")
        try:
            if hashlib.sha256(read_kept(run.run_id, name)).hexdigest() != sha256:
                found.diverged(where, "changed", name)
        except FileNotFoundError:
            found.diverged(where, "missing", name)
    _check_report(run, where, report, found)


def _check_report(run: SeenRun, where: str, sha256: str | None, found: ChainVerification) -> None:
    folder = home() / "reports" / (run.tags.get("flyte_run") or "alone")
    if sha256 is None or not folder.is_dir():  # written on another machine
        return
    page = folder / f"{run.tags['stage']}.html"
    found.count("reports")
    if not page.is_file():
        found.diverged(where, "missing", f"reports/{folder.name}/{page.name}")
    elif hashlib.sha256(page.read_bytes()).hexdigest() != sha256:
        found.diverged(where, "changed", f"reports/{folder.name}/{page.name}")


def _check_artifact(stage: str, artifact: Artifact, found: ChainVerification) -> None:
    where = f"{artifact.kind} {artifact.digest[7:19]} of {stage}"
    found.count("artifacts")
    try:
        manifest = open_store().manifest(artifact)
        differences = open_store().differences(artifact)
    except ArtifactMissingError:
        found.diverged(where, "missing", f"manifests/{artifact.digest[7:]}.json")
        return
    except ArtifactCorruptError:
        found.diverged(where, "changed", f"manifests/{artifact.digest[7:]}.json")
        return
    found.count("files", len(manifest))
    found.count("bytes", sum(entry.size for entry in manifest))
    for difference in differences:
        found.diverged(where, difference.what, difference.path)
    if artifact.kind == "release" and not differences:
        folder = open_store().open(artifact)
        check_release(folder, manifest_of(folder), found)
