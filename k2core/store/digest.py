"""The identity of a folder: SHA-256 over its manifest."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple


class ManifestEntry(NamedTuple):
    """One file of an artifact: relative POSIX path, bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def manifest_of(folder: Path) -> list[ManifestEntry]:
    """List every file below `folder`, sorted by path."""
    entries = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        name = path.relative_to(folder).as_posix()
        entries.append(ManifestEntry(name, path.stat().st_size, sha256))
    return entries


def digest_of(manifest: list[ManifestEntry]) -> str:
    """SHA-256 of the manifest as canonical JSON, with its `sha256:` prefix."""
    text = json.dumps([list(entry) for entry in manifest], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
