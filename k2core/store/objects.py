"""Objects on this machine: their files, their manifests, and what was verified of them.

A file that was hashed is remembered with its size, times and inode: while these are the same it is
not hashed again, in whatever process. `objects/HEX` are the files, `manifests/HEX.json` says what
they are to be, and `manifests/HEX.verified` how they were when they were hashed.
"""

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from k2core.store.digest import ManifestEntry, hash_file, manifest_bytes, read_manifest
from k2core.store.side_by_side import do_all
from schemas.errors import room_for

Stamp = list[int]
"""Size, times of change of content and of inode in ns, inode."""
_FRESH_NS = 50_000_000
"""A file changed this little ago may change again without its times telling."""


class Objects:
    """The objects below a folder."""

    def __init__(self, folder: Path) -> None:
        self._objects, self._manifests = folder / "objects", folder / "manifests"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._manifests.mkdir(parents=True, exist_ok=True)

    def folder(self, name: str) -> Path:
        """Where an object's files are."""
        return self._objects / name

    def manifest(self, name: str) -> list[ManifestEntry] | None:
        """What an object is to be; None if it is not here.

        Raises:
            ValueError: the manifest cannot be read.
        """
        try:
            return read_manifest((self._manifests / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None

    def add_manifest(self, name: str, manifest: Sequence[ManifestEntry]) -> None:
        """From now on the object is here."""
        write_atomically(self._manifests / f"{name}.json", manifest_bytes(manifest))

    def find_wrong(
        self, name: str, entries: Iterable[ManifestEntry], *, verify: bool = False
    ) -> list[str]:
        """Files that are lost or changed; those whose stamps changed are hashed.

        Args:
            name: of the object.
            entries: the files to look at.
            verify: hash all, whatever their stamps say.
        """
        folder, known, found = self.folder(name), self._stamps(name), dict[str, Stamp]()

        def is_wrong(entry: ManifestEntry) -> bool:
            try:
                stamp = _stamp(folder / entry.path)
                if stamp[0] != entry.size:
                    return True
                if verify or known.get(entry.path) != stamp:
                    if hash_file(folder / entry.path) != entry.sha256:
                        return True
                    found[entry.path] = stamp
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return True
            return False

        entries = list(entries)
        wrong = do_all(is_wrong, entries)
        self._remember(name, found)
        return [entry.path for entry, bad in zip(entries, wrong, strict=True) if bad]

    def sizes(self, name: str) -> dict[str, int]:
        """An object's files as they are, with their bytes."""
        folder = self.folder(name)
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}

    def find_added(self, name: str, manifest: Iterable[ManifestEntry]) -> list[str]:
        """Files that are not in the manifest."""
        return sorted(self.sizes(name).keys() - {entry.path for entry in manifest})

    def note_verified(self, name: str, paths: Iterable[str]) -> None:
        """Files whose bytes were hashed on their way here."""
        folder = self.folder(name)
        self._remember(name, {path: _stamp(folder / path) for path in paths})

    def take(self, name: str, folder: Path, manifest: Sequence[ManifestEntry]) -> None:
        """Move a draft's files here, where the object is not there or is broken."""
        target = self.folder(name)
        with suppress(OSError):  # somebody's files are there
            folder.rename(target)
        if folder.is_dir():
            self.take_part(name, folder, manifest)
            for path in self.find_added(name, manifest):
                (target / path).unlink()
        self.note_verified(name, (entry.path for entry in manifest))

    def take_part(self, name: str, folder: Path, entries: Sequence[ManifestEntry]) -> None:
        """Move some of an object's files here, where they are not there or are broken."""
        for path in self.find_wrong(name, entries):
            target = self.folder(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / path).replace(target)
        self.note_verified(name, (entry.path for entry in entries))

    def _stamps(self, name: str) -> dict[str, Stamp]:
        try:
            stamps: dict[str, Stamp] = json.loads(self._stamp_file(name).read_bytes())
        except (OSError, ValueError):
            return {}
        return stamps

    def _remember(self, name: str, stamps: dict[str, Stamp]) -> None:
        oldest = time.time_ns() - _FRESH_NS
        settled = {path: stamp for path, stamp in stamps.items() if stamp[1] < oldest}
        if settled:
            merged = json.dumps(self._stamps(name) | settled).encode()
            with suppress(OSError):  # a store that this process may only read
                write_atomically(self._stamp_file(name), merged)

    def _stamp_file(self, name: str) -> Path:
        return self._manifests / f"{name}.verified"


def write_atomically(path: Path, content: bytes) -> None:
    """Give a file its content at once, whoever else writes it or reads it."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        with room_for(path, len(content)):
            aside.write_bytes(content)
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
