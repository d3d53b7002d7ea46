"""One file from a bucket into an object on this machine: resumed, verified, then put in place.

What has come of a file lies in `fetching/SHA256.part`, locked by the process that adds to it. A
process that wants the same file waits; what a dead one left goes on, or is deleted after a while.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from k2core.store.bucket import Bucket
from k2core.store.digest import ManifestEntry
from k2core.store.errors import ArtifactCorruptError
from schemas.errors import room_for

_PIECE = 4 * 2**20
_LEFTOVER_SECONDS = 24 * 3600
"""Until a part that nobody adds to is deleted."""


class DiskPlace(NamedTuple):
    """Where a file belongs on this machine, and which one was there when it was found wanting."""

    path: Path
    before: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path) -> "DiskPlace":
        """As it is now."""
        return cls(path, _identity(path))


def fetch_file(
    bucket: Bucket, address: str, entry: ManifestEntry, parts: Path, place: DiskPlace
) -> None:
    """Put a verified file in place; if another process does so meanwhile, that is as good.

    Args:
        bucket: where it comes from.
        address: in the bucket.
        entry: what it is to be.
        parts: the folder of unfinished files, on the same disk.
        place: what is there is replaced: a reader keeps the file that it opened.

    Raises:
        ArtifactCorruptError: the bucket holds other bytes or none; the message names the file.
    """
    part = parts / f"{entry.sha256}.part"
    with hold(part) as stream:
        if _identity(place.path) != place.before:
            part.unlink()
            return
        try:
            # What was left may be bad, and so may be what comes: once more from the beginning.
            right = any(_fill(bucket, address, entry, stream) for _ in range(2))
        except FileNotFoundError:
            right = False
        if not right:
            part.unlink()
            raise ArtifactCorruptError(
                f"{bucket.root}/{address} is lost, or does not match the SHA-256 of its manifest: "
                "delete that manifest and rerun the stage that makes the artifact"
            )
        settled = time.time_ns() - 1_000_000_000  # a later change is told by its time
        os.utime(part, ns=(settled, settled))
        place.path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(place.path)


def clear_leftovers(parts: Path) -> None:
    """Delete parts that nobody has added to for a day."""
    for part in parts.glob("*.part"):
        with contextlib.suppress(OSError), part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - part.stat().st_mtime > _LEFTOVER_SECONDS:
                part.unlink()


def _fill(bucket: Bucket, address: str, entry: ManifestEntry, stream: IO[bytes]) -> bool:
    """Add what is missing; whether all is right. What is wrong is emptied."""
    sha, size = hashlib.sha256(), 0
    stream.seek(0)
    while piece := stream.read(_PIECE):
        sha.update(piece)
        size += len(piece)
    if size <= entry.size:
        with room_for(stream.name, entry.size - size):
            for piece in bucket.read_parts(address, size, entry.size):
                stream.write(piece)
                sha.update(piece)
            stream.flush()
        if sha.hexdigest() == entry.sha256:
            return True
    stream.seek(0)
    stream.truncate()
    return False


@contextlib.contextmanager
def hold(part: Path) -> Iterator[IO[bytes]]:
    """The part, opened and locked; what stood there when another process let go is left to it."""
    part.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            held = os.fstat(stream.fileno())
            if _identity(part) == (held.st_dev, held.st_ino):
                yield stream
                return


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
