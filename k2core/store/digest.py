"""The identity of a folder: SHA-256 over its manifest."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from k2core.store.side_by_side import do_all


class ManifestEntry(NamedTuple):
    """One file of an artifact: relative POSIX path, bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def file_names(folder: Path) -> list[str]:
    """All files below a folder, as a manifest sorts them."""
    found = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return [path.as_posix() for path in found]


def manifest_of(folder: Path) -> list[ManifestEntry]:
    """Every file below `folder`, sorted by path; each is read once, several at a time."""

    def read(name: str) -> ManifestEntry:
        path = folder / name
        return ManifestEntry(name, path.stat().st_size, hash_file(path))

    return do_all(read, file_names(folder))


def in_order(entries: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """As a manifest sorts them, whoever brings them."""
    return sorted(entries, key=lambda entry: PurePosixPath(entry.path))


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(manifest: Sequence[ManifestEntry]) -> str:
    """SHA-256 of the manifest as canonical JSON, with its `sha256:` prefix."""
    text = json.dumps([list(entry) for entry in manifest], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def manifest_bytes(manifest: Sequence[ManifestEntry]) -> bytes:
    """What stands in a manifest's file."""
    return json.dumps([list(entry) for entry in manifest]).encode()


def read_manifest(content: bytes) -> list[ManifestEntry]:
    """A manifest's file.

    Raises:
        ValueError: it is none.
    """
    try:
        return [ManifestEntry(str(p), int(size), str(sha)) for p, size, sha in json.loads(content)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"no list of [path, size, sha256]: {error}") from error
