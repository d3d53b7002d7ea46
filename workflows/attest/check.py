"""Whether a release's attestations hold, by one public key and what is in the folder alone."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from k2core.store import ManifestEntry, digest_of, manifest_of
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from workflows.attest.envelope import (
    REFERENCE,
    SLSA,
    BadEnvelopeError,
    Resource,
    Stated,
    open_statement,
    payload_of,
)
from workflows.attest.keys import PublicKey, read_public
from workflows.attest.places import FOLDER, IDENTITY, PUBLIC, REFERENCES, SIGNATURE
from workflows.attest.provenance import describe
from workflows.errors import MendableError
from workflows.verified import ChainVerification

if TYPE_CHECKING:
    from workflows.attest.identity import Signatory

_LINEAGE = TypeAdapter(list[LineageRecord])


def check_attestations(
    folder: Path,
    manifest: Sequence[ManifestEntry],
    attestations: Path,
    key: Path | None,
    found: ChainVerification,
    by: "Signatory | None" = None,
) -> None:
    """Verify all of them; what does not hold is added, the first first.

    Args:
        folder: of the release.
        manifest: its files, as they are.
        attestations: their folder, which may be elsewhere.
        key: a public key's file; without one the enclosed key is trusted, and it is said so.
        found: what is known of the release so far.
        by: who must have signed by Sigstore.

    Raises:
        MendableError: the key's file is none.
    """
    trusted = _trusted(key, attestations / PUBLIC, FOLDER, found)
    if trusted is None:
        return
    released = [entry for entry in manifest if not entry.path.startswith(f"{FOLDER}/")]
    check = _Check(folder, released, attestations, trusted, found)
    check.all()
    check.identity(by)


def check_model(folder: Path, key: Path | None, found: ChainVerification) -> None:
    """Verify the signature of a model in a repository of its own; else as above."""
    from workflows.attest.models import find_model_fault

    trusted = _trusted(key, folder / PUBLIC, "the model", found)
    if not (folder / SIGNATURE).is_file():
        found.diverged("the model", "missing", SIGNATURE)
    elif trusted is not None:
        fault = find_model_fault(folder, folder / SIGNATURE, trusted, among_others=True)
        if fault:
            found.diverged("the model", f"does not hold: {fault}", SIGNATURE)
        else:
            found.count("signatures")


def _trusted(
    key: Path | None, enclosed: Path, where: str, found: ChainVerification
) -> PublicKey | None:
    try:
        trusted = read_public(key or enclosed)
    except MendableError as error:
        if key is not None:
            raise
        found.diverged(where, f"holds no key ({error})", PUBLIC)
        return None
    whose = "enclosed, so anybody's who could write this folder: --key names one that you know"
    found.notes.append(f"signatures are by key {trusted.name} ({'yours' if key else whose})")
    return trusted


class _Check:
    def __init__(
        self,
        folder: Path,
        released: list[ManifestEntry],
        place: Path,
        key: PublicKey,
        found: ChainVerification,
    ) -> None:
        self._folder, self._place, self._key, self._found = folder, place, key, found
        self._digest = digest_of(released)
        self._files = {entry.path: entry.sha256 for entry in released}

    def all(self) -> None:
        """What names everything, then each thing."""
        stated = self._open(REFERENCES, REFERENCE)
        if stated is not None:
            self._check_subject(stated["subject"], REFERENCES)
            self._check_references(cast(list[Resource], stated["predicate"].get("references", [])))
        self._check_models()
        self._check_provenance()
        self._check_manifests()

    def identity(self, by: "Signatory | None") -> None:
        """The statement that names everything, by whose identity it must be signed."""
        place = self._place / IDENTITY
        if by is None:
            if place.exists():
                said = "who signed by Sigstore was not verified: --identity and --issuer name them"
                self._found.notes.append(said)
            return
        from workflows.attest.identity import find_identity_fault

        try:
            payload = payload_of((self._place / REFERENCES).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):  # said already
            payload = b""
        if not place.is_file():
            self._diverged("missing", IDENTITY)
        elif fault := find_identity_fault(place.read_bytes(), payload, by):
            self._diverged(fault, IDENTITY)
        else:
            self._found.count("identities")

    def _open(self, name: str, predicate_type: str) -> Stated | None:
        try:
            stated = open_statement((self._place / name).read_bytes(), self._key)
        except FileNotFoundError:
            self._diverged("missing", name)
            return None
        except BadEnvelopeError as error:
            self._diverged(str(error), name)
            return None
        self._found.count("signatures")
        if stated["predicateType"] != predicate_type:
            self._diverged(f"states {stated['predicateType']}, not {predicate_type}", name)
            return None
        return stated

    def _check_subject(self, subject: list[Resource], name: str) -> None:
        """A statement's subject against the files of the release."""
        stated = _digests(subject)
        for path in sorted(stated.keys() | self._files.keys()):
            if stated.get(path) != self._files.get(path):
                self._diverged(f"is of another release: {path} differs", name)
                return

    def _check_references(self, references: list[Resource]) -> None:
        stated = _digests(references)
        there = {
            e.path: e.sha256
            for e in manifest_of(self._place)
            if e.path not in (REFERENCES, IDENTITY)
        }
        for name in sorted(stated.keys() | there.keys()):
            self._found.count("attestations")
            if stated.get(name) != there.get(name):
                what = "missing" if name not in there else "changed" if name in stated else "extra"
                self._diverged(what, name)

    def _check_models(self) -> None:
        from workflows.attest.models import find_model_fault

        for config in sorted(self._folder.glob("*/config.json")):
            name = f"models/{config.parent.name}.sig"
            if not (self._place / name).is_file():
                self._diverged("missing", name)
            elif fault := find_model_fault(config.parent, self._place / name, self._key):
                self._diverged(f"does not hold: {fault}", name)
            else:
                self._found.count("signatures")

    def _check_provenance(self) -> None:
        """Each record of the lineage is stated, and the release by its files."""
        try:
            records = _LINEAGE.validate_json((self._folder / "lineage.json").read_bytes())
        except (OSError, ValidationError):  # said already
            records = []
        for record in records:
            name = f"provenance/{record.stage}.dsse.json"
            if stated := self._open(name, SLSA):
                try:
                    for what in _differences(record, stated):
                        self._diverged(f"states other {what} than lineage.json", name)
                except (KeyError, TypeError, AttributeError) as error:
                    self._diverged(f"is no provenance of a stage ({error!r})", name)
        name = "provenance/release.dsse.json"
        if stated := self._open(name, SLSA):
            whole, *files = stated["subject"]
            self._check_subject(files, name)
            if f"sha256:{whole.get('digest', {}).get('sha256')}" != self._digest:
                self._diverged(f"states another release than {self._digest[:19]}", name)

    def _check_manifests(self) -> None:
        for path in sorted((self._place / "manifests").glob("*.json")):
            if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
                self._diverged("is not what its name says", f"manifests/{path.name}")

    def _diverged(self, what: str, name: str) -> None:
        self._found.diverged(FOLDER, what, name)


def _differences(record: LineageRecord, stated: Stated) -> Iterator[str]:
    build = cast(dict[str, object], stated["predicate"]["buildDefinition"])
    asked = cast(dict[str, object], build["externalParameters"])
    configs = cast(dict[str, object], asked["configs"])
    # A release's lineage leaves out arguments that were not given.
    if {name: config for name, config in configs.items() if config is not None} != record.configs:
        yield "configs"
    if asked["stage"] != record.stage:
        yield "stage"
    if cast(dict[str, object], build["internalParameters"])["version"] != record.version:
        yield "version"
    dependencies = cast(list[Resource], build["resolvedDependencies"])
    used = [one for one in dependencies if "kind" in one.get("annotations", {})]
    if not _same(used, record.inputs):
        yield "inputs"
    if not _same(stated["subject"], record.outputs):
        yield "outputs"


def _digests(resources: list[Resource]) -> dict[str, str]:
    return {one.get("name", ""): one.get("digest", {}).get("sha256", "") for one in resources}


def _same(stated: list[Resource], recorded: Mapping[str, Artifact]) -> bool:
    """In whatever order."""
    described = [describe(name, artifact) for name, artifact in recorded.items()]
    return sorted(stated, key=_name) == sorted(described, key=_name)


def _name(resource: Resource) -> str:
    return resource.get("name", "")
