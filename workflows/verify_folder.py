"""Verifies a folder that somebody downloaded, by what is in it alone.

A release holds three witnesses of its weights: `SHA256SUMS`, the digests in `lineage.json`, and the
card; where it was attested, signatures are a fourth. A single model's folder holds its card; an
object of a store is named by its digest.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from k2core.store import ManifestEntry, digest_of, manifest_of
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from workflows.attest.places import FOLDER, SIGNATURE
from workflows.errors import MendableError
from workflows.verified import ChainVerification

if TYPE_CHECKING:
    from workflows.attest.identity import Signatory

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_WEIGHTS = re.compile(r"^Weights: `(\S*)`", re.MULTILINE)
_ADDED = re.compile(
    r"[^/]+\.md|model\.sig|public\.pem|LICENSE[^/]*|NOTICE[^/]*|\.git[^/]*|lineage\.json|parity\.json|SHA256SUMS"
)
"""What a release adds to a checkpoint's folder, or `k2 push`: pages for people, and what proves."""
_NAME = re.compile(r"[0-9a-f]{64}")
_LINEAGE = TypeAdapter(list[LineageRecord])


def verify_folder(
    folder: Path, key: Path | None = None, by: "Signatory | None" = None
) -> ChainVerification:
    """Recompute every digest that a folder states of itself, and verify its attestations.

    Args:
        folder: a release, a model with its card, or an object of a store.
        key: public key that the attestations must be signed with; without one that which they
            enclose.
        by: who must have signed a release by Sigstore.

    Raises:
        MendableError: it states no digest; the key is none; or no release is held to the key.
    """
    is_model = (folder / "README.md").is_file() and (folder / "config.json").is_file()
    states = (folder / SUMS).is_file() or (folder / "lineage.json").is_file()
    is_release = states and not is_model
    if not (is_release or is_model or _NAME.fullmatch(folder.name)):
        raise MendableError(
            f"{folder} states no digest of itself: give a release (it has {SUMS}), a model's "
            "folder with its card, or an object of a store, named by its digest"
        )
    if key is not None and not (is_release or is_model):
        raise MendableError(
            f"--key: {folder} is no release and no model, and only those are signed"
        )
    if by is not None and not is_release:
        raise MendableError(f"--identity: {folder} is no release, and only those are signed so")
    found = ChainVerification(str(folder))
    manifest = manifest_of(folder)
    found.count("files", len(manifest))
    found.count("bytes", sum(entry.size for entry in manifest))
    if is_release:
        _check_sums(folder, manifest, found)
        found.notes.append(f"the release as a whole is {digest_of(_published(manifest))}")
        check_release(folder, manifest, found)
        if key or by or (folder / FOLDER).exists():
            from workflows.attest.check import check_attestations

            check_attestations(folder, manifest, folder / FOLDER, key, found, by)
    elif is_model:
        if (folder / SUMS).is_file():
            _check_sums(folder, manifest, found)
        stated = _stated(folder / "README.md", found)
        _compare("the weights' folder", stated, manifest, "", "README.md", found)
        if key is not None or (folder / SIGNATURE).exists():
            from workflows.attest.check import check_model

            check_model(folder, key, found)
    elif digest_of(manifest) != f"sha256:{folder.name}":
        _explain_object(folder, manifest, found)
    return found


def check_release(folder: Path, manifest: list[ManifestEntry], found: ChainVerification) -> None:
    """A release's weights against its lineage and its cards, and its lineage against itself."""
    path = folder / "lineage.json"
    try:
        records = _LINEAGE.validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        found.diverged("release", f"is no lineage ({_short(error)})", "lineage.json")
        return
    found.count("records", len(records))
    for broken in list_gaps(records):
        found.diverged("release", broken, "lineage.json")
    made = {r.stage: r.outputs for r in records}
    first = "adopt" if "adopt" in made else "pretrain"
    for which, stage in (("base", first), ("policy", "rl")):
        outputs = made.get(stage, {})
        weights = outputs.get("policy") or outputs.get("checkpoint")
        if weights is None:
            found.diverged("release", f"names no weights of {stage}", "lineage.json")
            continue
        _compare(f"{which} weights", weights.digest, manifest, f"{which}/", "lineage.json", found)
        stated = _stated(folder / which / "README.md", found)
        if stated and stated != weights.digest:
            found.diverged(f"{which} card", "names other weights than lineage.json", "README.md")


def list_gaps(records: list[LineageRecord]) -> Iterator[str]:
    """Artifacts that a chain of records uses and nobody in it made before."""
    made: dict[str, Artifact] = {}
    for record in records:
        for name, artifact in record.inputs.items():
            maker = made.get(artifact.digest)
            if maker is None:
                yield f"{record.stage} used {name} {artifact.digest[7:19]}, which no stage made"
            elif (maker.kind, maker.counts) != (artifact.kind, artifact.counts):
                yield f"{record.stage} used {name} {artifact.digest[7:19]}, described otherwise"
        made |= {artifact.digest: artifact for artifact in record.outputs.values()}


def _check_sums(folder: Path, manifest: list[ManifestEntry], found: ChainVerification) -> None:
    """Against `SHA256SUMS`, line by line."""
    stated: dict[str, str] = {}
    if not (folder / SUMS).is_file():
        found.diverged("release", "missing", SUMS)
        return
    text = (folder / SUMS).read_bytes().decode(errors="replace")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in stated:
            found.diverged("release", f"line {number} is no sum of a file", SUMS)
        else:
            stated[match[2]] = match[1]
    if not text.endswith("\n"):
        found.diverged("release", "does not end its last line", SUMS)
    there = {entry.path: entry.sha256 for entry in _published(manifest) if entry.path != SUMS}
    for path in sorted(stated.keys() | there.keys()):
        if path not in there:
            found.diverged("release", "missing", path)
        elif path not in stated:
            found.diverged("release", f"extra (not in {SUMS})", path)
        elif stated[path] != there[path]:
            found.diverged("release", f"changed (or its line in {SUMS})", path)


def _published(manifest: list[ManifestEntry]) -> list[ManifestEntry]:
    return [entry for entry in manifest if not entry.path.startswith(f"{FOLDER}/")]


def _compare(
    where: str,
    digest: str,
    manifest: list[ManifestEntry],
    below: str,
    witness: str,
    found: ChainVerification,
) -> None:
    """A checkpoint's files in a release against the digest that it was recorded with."""
    files = [
        entry._replace(path=entry.path.removeprefix(below))
        for entry in manifest
        if entry.path.startswith(below) and not _ADDED.fullmatch(entry.path.removeprefix(below))
    ]
    found.count("artifacts")
    if digest and digest_of(files) != digest:
        found.diverged(where, f"a file changed, is missing or extra: not {digest[:19]}", witness)


def _stated(card: Path, found: ChainVerification) -> str:
    """The digest of the weights that a card names."""
    text = card.read_bytes().decode(errors="replace") if card.is_file() else ""
    match = _WEIGHTS.search(text)
    if match is None:
        found.diverged(f"{card.parent.name} card", "names no digest of its weights", card.name)
    return match[1] if match else ""


def _explain_object(folder: Path, manifest: list[ManifestEntry], found: ChainVerification) -> None:
    beside = folder.parent.parent / "manifests" / f"{folder.name}.json"
    where = f"object {folder.name[:12]}"
    try:
        wanted = {path: sha for path, _, sha in json.loads(beside.read_bytes())}
    except (OSError, ValueError):
        found.diverged(where, "a file changed, is missing or extra", folder.name)
        return
    there = {entry.path: entry.sha256 for entry in manifest}
    for path in sorted(wanted.keys() | there.keys()):
        if wanted.get(path) != there.get(path):
            what = "missing" if path not in there else "changed" if path in wanted else "extra"
            found.diverged(where, what, path)
    if not found.divergences:
        found.diverged(where, "changed", f"manifests/{folder.name}.json")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]
