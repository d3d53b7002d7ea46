"""The identity of a folder: SHA-256 over its manifest."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from k2core.store.side_by_side import do_all


class ManifestEntry(NamedTuple):
    """One file of an artifact: relative POSIX path, bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def manifest_of(folder: Path, known: Sequence[ManifestEntry] = ()) -> list[ManifestEntry]:
    """List every file below `folder`, sorted by path.

    Args:
        folder: whose files are read, several at a time.
        known: files that were hashed while they were written: of these only the size is looked at.

    Raises:
        ValueError: a known file has another size, or is not there.
    """
    names = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    hashed = {entry.path: entry for entry in known}
    for path, entry in hashed.items():
        size = names[path].stat().st_size if path in names else None
        if size != entry.size:
            raise ValueError(f"{folder / path} has {size} bytes, not the {entry.size} written")

    def read(name: str) -> ManifestEntry:
        path = names[name]
        return hashed.get(name) or ManifestEntry(name, path.stat().st_size, hash_file(path))

    return sorted(do_all(read, names), key=lambda entry: Path(entry.path))


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
