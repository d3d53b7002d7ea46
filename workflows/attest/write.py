"""`k2 attest`: writes and signs what a stranger needs, beside a release and never into its digest.

The files are kept with MLflow's run of the release stage; a copy of the release carries them in
`attestations/`, which no sum and no digest of the release covers.
"""

import hashlib
import json
import mimetypes
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from infra.home import home
from workflows.attest.envelope import REFERENCE, Resource, payload_of, sign_statement
from workflows.attest.facts import ReleaseFacts, gather, manifest_in_store
from workflows.attest.keys import SigningKey
from workflows.attest.places import FOLDER, IDENTITY, PUBLIC, REFERENCES, TAG
from workflows.attest.provenance import release_files, sign_provenance
from workflows.errors import MendableError

if TYPE_CHECKING:
    from workflows.attest.identity import KeylessSigner


class Attested(NamedTuple):
    """What was written."""

    facts: ReleaseFacts
    files: list[str]
    key: SigningKey
    copy: Path | None
    """Of the release, with its attestations."""


def attest(
    target: str,
    key: SigningKey,
    builder: str,
    out: Path | None,
    keyless: "KeylessSigner | None" = None,
) -> Attested:
    """Attest a run's release.

    Args:
        target: a run's name or a release's digest.
        key: what signs.
        builder: URI of who ran the stages.
        out: a folder to be made: the release with its attestations.
        keyless: signs models and the statement that names everything, too.

    Raises:
        MendableError: the folder is there and holds something; errors of `gather`.
    """
    if out is not None and out.exists() and any(out.iterdir()):
        raise MendableError(f"{out} holds files already: name an empty or a new folder")
    facts = gather(target)
    (home() / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="attest-", dir=home() / "tmp") as place:
        made = Path(place) / FOLDER
        _write_all(facts, key, builder, made, keyless)
        _keep(facts, key, made)
        files = sorted(p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file())
        copy = _copy(facts, made, out) if out else None
    return Attested(facts, files, key, copy)


def _write_all(
    facts: ReleaseFacts,
    key: SigningKey,
    builder: str,
    made: Path,
    keyless: "KeylessSigner | None",
) -> None:
    from workflows.attest.bom import write_bom
    from workflows.attest.croissant import write_croissants
    from workflows.attest.models import sign_model
    from workflows.attest.summary import write_summary

    files = {PUBLIC: key.public, "bom.cdx.json": write_bom(facts)}
    files |= write_croissants(facts) | write_summary(facts)
    for artifact in facts.artifacts.values():
        if manifest := manifest_in_store(artifact):
            entries = [list(entry) for entry in manifest]
            text = json.dumps(entries, separators=(",", ":"))  # its SHA-256 is the digest
            files[f"manifests/{artifact.digest.removeprefix('sha256:')}.json"] = text.encode()
    for stage in facts.stages:
        name = f"provenance/{stage.record.stage}.dsse.json"
        files[name] = sign_provenance(facts, stage, builder, key)
    for name, content in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    (made / "models").mkdir()
    for model in facts.models:
        sign_model(facts.folder / model, made / "models" / f"{model}.sig", key)
        if keyless:
            keyless.sign_model(facts.folder / model, made / "models" / f"{model}.sigstore.json")
    _sign_references(facts, key, builder, made)
    if keyless:
        payload = payload_of((made / REFERENCES).read_bytes())
        (made / IDENTITY).write_bytes(keyless.sign_statement(payload))


def _sign_references(facts: ReleaseFacts, key: SigningKey, builder: str, made: Path) -> None:
    references: list[Resource] = [
        {
            "name": path.relative_to(made).as_posix(),
            "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
            "mediaType": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        }
        for path in sorted(made.rglob("*"))
        if path.is_file()
    ]
    predicate = {"attester": {"id": builder}, "references": references}
    signed = sign_statement(release_files(facts), REFERENCE, predicate, key)
    (made / REFERENCES).write_bytes(signed)


def _keep(facts: ReleaseFacts, key: SigningKey, made: Path) -> None:
    """With the release stage's run; the tag comes last."""
    from infra.tracking import client

    run_id = facts.maker.run.run_id
    client().log_artifacts(run_id, str(made), FOLDER)
    client().set_tag(run_id, f"k2.{TAG}", key.name)


def _copy(facts: ReleaseFacts, made: Path, out: Path) -> Path:
    """The release with its attestations, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        shutil.copytree(facts.folder, aside, copy_function=shutil.copyfile, dirs_exist_ok=True)
        shutil.copytree(made, aside / FOLDER, copy_function=shutil.copyfile)
        aside.chmod(0o755)
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return out
