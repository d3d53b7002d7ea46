"""`k2 push`: a released model as a repository of its own, on the Hub or in a folder."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.clean.privacy import redact, redact_all
from schemas.artifacts import Release
from schemas.base import Artifact
from schemas.release import ReleaseConfig
from tasks.store import published_folder
from workflows.attest.facts import gather
from workflows.attest.kept import find_attestations
from workflows.attest.places import PUBLIC, SIGNATURE
from workflows.errors import MendableError
from workflows.find import config_behind, find_artifact
from workflows.making import tell_making

SUMS = "SHA256SUMS"
MADE = "MADE.md"
_BESIDE = ("lineage.json", "parity.json")
"""Of the whole release; what proves a model goes with it."""
_SENT = (".safetensors", ".json", ".jinja", ".md", ".parquet")
_TEXT = (".json", ".jinja", ".md")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|API_?KEY|ACCESS_KEY")
_IN_ADDRESS = re.compile(r"\w://[^/\s:@\"']+:[^/\s@\"']+@")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


class SentFile(NamedTuple):
    """A file as it goes out."""

    name: str
    path: Path
    size: int


class Parcel(NamedTuple):
    """What is to be sent, and where to."""

    release: Release
    model: str
    files: list[SentFile]
    made: str
    """MADE.md: no part of the release, whose bytes are equal wherever it is made."""
    target: str
    """`ORG/NAME` of the Hub, or a folder."""
    is_hub: bool

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)

    @property
    def sums(self) -> str:
        """SHA256SUMS of all that goes out."""
        digests = {file.name: _sha256(file.path) for file in self.files}
        digests[MADE] = hashlib.sha256(self.made.encode()).hexdigest()
        return "".join(f"{digest}  {name}\n" for name, digest in digests.items())

    @property
    def card(self) -> str:
        """README.md."""
        return next(file.path for file in self.files if file.name == "README.md").read_text()


def pack(target: str, model: str, to: str) -> Parcel:
    """What a release's model consists of, checked.

    Args:
        target: a run's name or a release's digest.
        model: which of its models, e.g. `policy` or `policy-bf16`.
        to: `ORG/NAME` of the Hub, or a folder (with a `/` at its beginning, `./` or `~`).

    Raises:
        MendableError: there is no such release or model, its bytes are not those that were
            released, it failed its proof, or a file holds what looks like a secret.
    """
    found = find_artifact(target, ("release",))
    folder = published_folder(found)
    models = sorted(path.name for path in folder.iterdir() if (path / "config.json").exists())
    if model not in models:
        raise MendableError(f"the release has no {model!r}; it has {', '.join(models)}")
    _check_bytes(folder)
    _check_proof(folder, model, _limit(found))
    files = [*_list_files(folder, model), *_list_signatures(found, model)]
    _check_secrets(files, os.environ)
    is_hub = not to.startswith(("/", ".", "~")) and "://" not in to
    if is_hub and not _REPOSITORY.fullmatch(to):
        raise MendableError(
            f"--to {to}: write ORG/NAME for the Hub, or a folder as ./NAME or /NAME"
        )
    release = Release.model_validate(found.model_dump())
    return Parcel(release, model, files, tell_making(gather(target)), to, is_hub)


def send(parcel: Parcel, *, private: bool) -> str:
    """Send it whole, or not at all; returns where it is.

    Raises:
        MendableError: the folder is there already and holds something.
    """
    if not parcel.is_hub:
        return _write_folder(parcel, Path(parcel.target).expanduser().absolute())
    return _upload(parcel, private=private)


def _upload(parcel: Parcel, *, private: bool) -> str:
    """One commit through the Hub's own client, with the token that it finds."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory(prefix="k2-push-") as place:
        for file in parcel.files:
            (Path(place) / file.name).symlink_to(file.path)
        _write_pages(parcel, Path(place))
        api = HfApi()
        message = f"{parcel.model} of release {parcel.release.digest}"
        try:
            api.create_repo(parcel.target, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=parcel.target, folder_path=place, commit_message=message
            )
        except Exception as error:  # the client's, its transport's, the machine's
            raise MendableError(f"{parcel.target} was not sent: {error}") from None
    return str(done.commit_url)


def _write_pages(parcel: Parcel, folder: Path) -> None:
    (folder / MADE).write_text(parcel.made)
    (folder / SUMS).write_text(parcel.sums)


def _write_folder(parcel: Parcel, folder: Path) -> str:
    if folder.exists() and any(folder.iterdir()):
        raise MendableError(f"{folder} holds files already: name an empty or a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for file in parcel.files:
            shutil.copyfile(file.path, aside / file.name)
        _write_pages(parcel, aside)
        aside.chmod(0o755)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return str(folder)


def _list_files(folder: Path, model: str) -> Iterator[SentFile]:
    """The model's files, as they were released, and what proves it."""
    own = sorted((folder / model).iterdir())
    if strange := [path for path in own if path.suffix not in _SENT]:
        raise MendableError(f"{strange[0]} is no file of a model: weights, tables and pages are")
    for path in [*own, *(folder / name for name in _BESIDE)]:
        yield SentFile(path.name, path, path.stat().st_size)


def _list_signatures(release: Artifact, model: str) -> Iterator[SentFile]:
    """The model's signature and the key to it, if the release was attested."""
    if folder := find_attestations(release):
        for name, path in (
            (SIGNATURE, folder / "models" / f"{model}.sig"),
            (PUBLIC, folder / PUBLIC),
        ):
            yield SentFile(name, path, path.stat().st_size)


def _check_bytes(folder: Path) -> None:
    """Every file of the release is what `SHA256SUMS` says, and none is beside them."""
    told = dict(line.split("  ", 1)[::-1] for line in (folder / SUMS).read_text().splitlines())
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {SUMS}
    if strange := sorted(files ^ told.keys()):
        raise MendableError(f"{folder}: {strange[0]} is not as {SUMS} says: it is there or lacks")
    for name, digest in told.items():
        if _sha256(folder / name) != digest:
            raise MendableError(f"{folder / name} is not what was released: {SUMS} says otherwise")


def _limit(release: Artifact) -> float:
    """How close its logits had to be: of its config, which other code may have had."""
    config = config_behind(release, "config")
    found = config.get("max_logit_difference") if isinstance(config, dict) else None
    return float(found) if isinstance(found, int | float) else ReleaseConfig().max_logit_difference


def _check_proof(folder: Path, model: str, limit: float) -> None:
    proofs = json.loads((folder / "parity.json").read_text())
    proof = proofs.get(model.removesuffix("-bf16"))
    if proof is None or not proof["max_logit_difference"] <= limit:
        raise MendableError(
            f"parity.json does not prove {model}: its logits are to differ by at most {limit}, and "
            f"it says {proof and proof['max_logit_difference']}; run the release stage again"
        )
    for reader in proof["readers"]:
        found = reader["max_logit_difference"]
        if reader["checked"] and not found <= limit:
            raise MendableError(f"parity.json: {reader['reader']} differs by {found} on {model}")


def _check_secrets(files: list[SentFile], environment: Mapping[str, str]) -> None:
    """Refuse what looks like a key, credentials in an address, or a secret of this machine."""
    own = [v for k, v in environment.items() if _SECRET_NAME.search(k.upper()) and len(v) >= 8]
    for file in files:
        if file.path.suffix not in _TEXT:
            continue
        text = file.path.read_text(errors="replace")
        lines = text.splitlines()
        _, found = redact_all(pl.Series(lines, dtype=pl.String))
        for number, (line, counts) in enumerate(zip(lines, found, strict=True), 1):
            if any(value in line for value in own):
                what = "a secret of this machine's environment"
            elif _IN_ADDRESS.search(line):
                what = "an address with credentials"
            elif counts["key"]:
                what = "what looks like a key"
            else:
                continue
            raise MendableError(f"{file.path}, line {number} holds {what}: nothing was sent")
        if redact(text).counts["key"]:
            raise MendableError(f"{file.path} holds a private key: nothing was sent")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
