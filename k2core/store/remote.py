"""Objects in a bucket: files in `objects/PLACE/...`, and last `manifests/HEX.json`.

A manifest says what an object's files are and in which place they lie. A place is named before
anything is known of what it will hold, so that files are hashed while they are sent, and nobody
sees them before the manifest is there.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from k2core.store.bucket import Bucket
from k2core.store.digest import ManifestEntry, file_names, manifest_bytes, read_manifest
from k2core.store.fetch import DiskPlace, clear_leftovers, fetch_file
from k2core.store.objects import Objects
from k2core.store.side_by_side import do_all
from k2core.store.workspace import StoredFile

_LARGE = 64 * 2**20
"""Bytes of a file that other processes need not hash while the rest is fetched."""


class Located(NamedTuple):
    """A manifest in a bucket."""

    place: str
    """The folder of the object's files below `objects`."""
    manifest: list[ManifestEntry]


def new_place() -> str:
    """A folder that nobody has."""
    return uuid.uuid4().hex


def read_located(content: bytes) -> Located:
    """A manifest in a bucket.

    Raises:
        ValueError: it is none.
    """
    try:
        said = json.loads(content)
        place, files = str(said["place"]), json.dumps(said["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no place and files: {error!r}") from error
    return Located(place, read_manifest(files.encode()))


class Remote:
    """What a bucket holds, and the way to this machine's copies.

    Args:
        bucket: where all machines find it.
        copies: the objects on this machine.
        parts: the folder of files that are not whole yet, on the same disk.
    """

    def __init__(self, bucket: Bucket, copies: Objects, parts: Path) -> None:
        self._bucket, self._copies, self._parts = bucket, copies, parts
        self._places: dict[str, str] = {}

    def manifest(self, name: str) -> list[ManifestEntry] | None:
        """What an object is to be; None if the bucket does not hold it.

        Raises:
            ValueError: the manifest cannot be read.
        """
        try:
            located = read_located(self._bucket.read(_manifest(name)))
        except FileNotFoundError:
            return None
        self._places[name] = located.place
        return located.manifest

    def folder(self, name: str) -> str:
        """Where an object's files are in the bucket.

        Raises:
            FileNotFoundError: the bucket does not hold it.
        """
        if name not in self._places and self.manifest(name) is None:
            raise FileNotFoundError(f"{self._bucket.root} has no {_manifest(name)}")
        return f"objects/{self._places[name]}"

    def find_wrong(
        self, name: str, manifest: Sequence[ManifestEntry], *, verify: bool = False
    ) -> list[str]:
        """Files that are lost or have another size; with `verify` also those of another SHA-256."""
        sizes = self.sizes(name)
        wrong = [entry.path for entry in manifest if sizes.get(entry.path) != entry.size]
        if not verify:
            return wrong
        rest = [entry for entry in manifest if entry.path not in wrong]
        folder = self.folder(name)
        found = do_all(lambda e: self._bucket.hash(f"{folder}/{e.path}", e.size), rest)
        changed = [e.path for e, sha in zip(rest, found, strict=True) if sha != e.sha256]
        return wrong + changed

    def sizes(self, name: str) -> dict[str, int]:
        """An object's files as they are, with their bytes."""
        return self._bucket.sizes(self.folder(name))

    def send(self, place: str, folder: Path) -> list[ManifestEntry]:
        """Send all files below a folder, each read once: what was sent, sorted by path."""
        with self._dropping(place):
            return send_files(self._bucket, f"objects/{place}", folder)

    def copy(self, place: str, files: Mapping[str, StoredFile]) -> list[ManifestEntry]:
        """Copy files of the bucket within it, by their paths in an object to be."""

        def copy(path: str) -> ManifestEntry:
            file = files[path]
            self._bucket.copy(self._key(file), f"objects/{place}/{path}")
            return ManifestEntry(path, file.size, file.sha256)

        with self._dropping(place):
            return do_all(copy, files)

    @contextmanager
    def _dropping(self, place: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(Exception):  # nobody would see them in any case
                self.drop(place)
            raise

    def complete(self, name: str, place: str, manifest: Sequence[ManifestEntry]) -> None:
        """From now on the object is there: all its files have been sent.

        If it is there already, whole, it stays where it is, and what was sent is deleted.
        """
        files = json.loads(manifest_bytes(manifest))
        content = json.dumps({"place": place, "files": files}).encode()
        while True:
            found = self._bucket.read_tagged(_manifest(name))
            with suppress(ValueError):
                if found and self._is_whole(located := read_located(found.content)):
                    self._places[name] = located.place
                    if located.place != place:
                        self.drop(place)
                    return
            if self._bucket.put_if(_manifest(name), content, found and found.tag) is not None:
                self._places[name] = place
                return

    def drop(self, place: str) -> None:
        """Delete what was sent there."""
        for path in self._bucket.sizes(f"objects/{place}"):
            self._bucket.delete(f"objects/{place}/{path}")

    def _is_whole(self, located: Located) -> bool:
        there = self._bucket.sizes(f"objects/{located.place}")
        return all(there.get(entry.path) == entry.size for entry in located.manifest)

    def fetch(self, name: str, missing: Mapping[ManifestEntry, DiskPlace]) -> None:
        """Bring files here, verified; the bucket's digest is looked at while they come.

        Raises:
            ArtifactCorruptError: the bucket has lost a file, or holds other bytes.
        """
        clear_leftovers(self._parts)
        folder = self.folder(name)

        def bring(entry: ManifestEntry) -> None:
            address = f"{folder}/{entry.path}"
            fetch_file(self._bucket, address, entry, self._parts, missing[entry])
            if entry.size > _LARGE:
                self._copies.note_verified(name, [entry.path])

        do_all(bring, missing)
        self._copies.note_verified(name, (entry.path for entry in missing))

    def bring(self, file: StoredFile) -> None:
        """Bring a file of no object to its path, verified.

        Raises:
            ArtifactCorruptError: the bucket has lost it, or holds other bytes.
        """
        entry = ManifestEntry(file.path.name, file.size, file.sha256)
        fetch_file(self._bucket, self._key(file), entry, self._parts, DiskPlace.of(file.path))

    def _key(self, file: StoredFile) -> str:
        return file.address.removeprefix(f"{self._bucket.root}/")


def send_files(bucket: Bucket, place: str, folder: Path) -> list[ManifestEntry]:
    """Send all files below a folder, each read once and hashed meanwhile.

    Args:
        bucket: where to.
        place: a folder in it.
        folder: on this machine.
    """

    def send(path: str) -> ManifestEntry:
        sent = bucket.upload(folder / path, f"{place}/{path}")
        return ManifestEntry(path, sent.size, sent.sha256)

    return do_all(send, file_names(folder))


def _manifest(name: str) -> str:
    return f"manifests/{name}.json"
