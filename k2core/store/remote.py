"""Objects in a bucket: `objects/HEX/...`, and last `manifests/HEX.json`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from k2core.store.bucket import Bucket
from k2core.store.digest import ManifestEntry, manifest_bytes, read_manifest
from k2core.store.fetch import Place, clear_leftovers, fetch_file
from k2core.store.objects import Objects
from k2core.store.side_by_side import do_all

_LARGE = 64 * 2**20
"""Bytes of a file that other processes need not hash while the rest is fetched."""


class Remote:
    """What a bucket holds, and the way to this machine's copies.

    Args:
        bucket: where all machines find it.
        copies: the objects on this machine.
        parts: the folder of files that are not whole yet, on the same disk.
    """

    def __init__(self, bucket: Bucket, copies: Objects, parts: Path) -> None:
        self._bucket, self._copies, self._parts = bucket, copies, parts

    def manifest(self, name: str) -> list[ManifestEntry] | None:
        """What an object is to be; None if the bucket does not hold it.

        Raises:
            ValueError: the manifest cannot be read.
        """
        try:
            return read_manifest(self._bucket.read(f"manifests/{name}.json"))
        except FileNotFoundError:
            return None

    def find_wrong(
        self, name: str, manifest: Sequence[ManifestEntry], *, verify: bool = False
    ) -> list[str]:
        """Files that are lost or have another size; with `verify` also those of another SHA-256."""
        sizes = self.sizes(name)
        wrong = [entry.path for entry in manifest if sizes.get(entry.path) != entry.size]
        if not verify:
            return wrong
        rest = [entry for entry in manifest if entry.path not in wrong]
        found = do_all(lambda e: self._bucket.hash(_address(name, e), e.size), rest)
        changed = [e.path for e, sha in zip(rest, found, strict=True) if sha != e.sha256]
        return wrong + changed

    def sizes(self, name: str) -> dict[str, int]:
        """An object's files as they are, with their bytes."""
        return self._bucket.sizes(f"objects/{name}")

    def upload(self, name: str, folder: Path, manifest: Sequence[ManifestEntry]) -> None:
        """Send an object; before its manifest is there nobody sees it.

        Raises:
            OSError: a file changed meanwhile.
        """
        self.send(name, folder, manifest)
        self.complete(name, manifest)

    def send(self, name: str, folder: Path, entries: Sequence[ManifestEntry]) -> None:
        """Send some of an object's files.

        Raises:
            OSError: a file changed meanwhile.
        """

        def send(entry: ManifestEntry) -> None:
            if self._bucket.upload(folder / entry.path, _address(name, entry)) != entry.sha256:
                raise OSError(f"{folder / entry.path} changed while it was uploaded")

        do_all(send, entries)

    def complete(self, name: str, manifest: Sequence[ManifestEntry]) -> None:
        """From now on the object is there: all its files have been sent."""
        self._bucket.put(f"manifests/{name}.json", manifest_bytes(manifest))

    def fetch(self, name: str, missing: Mapping[ManifestEntry, Place]) -> None:
        """Bring files here, verified; the bucket's digest is looked at while they come.

        Raises:
            ArtifactCorruptError: the bucket has lost a file, or holds other bytes.
        """
        clear_leftovers(self._parts)

        def bring(entry: ManifestEntry) -> None:
            fetch_file(self._bucket, _address(name, entry), entry, self._parts, missing[entry])
            if entry.size > _LARGE:
                self._copies.note_verified(name, [entry.path])

        do_all(bring, missing)
        self._copies.note_verified(name, (entry.path for entry in missing))


def _address(name: str, entry: ManifestEntry) -> str:
    return f"objects/{name}/{entry.path}"
