"""What a store holds, with sizes and times, and how to delete it.

Nothing here decides what may go: who asks knows what is reached.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from k2core.store.bucket import Bucket
from k2core.store.remote import read_located
from k2core.store.side_by_side import do_all
from k2core.store.store import Store


class HeldBytes(NamedTuple):
    """Bytes, and when they were last added to (seconds since 1970)."""

    size: int
    changed: float


class Garbage:
    """The objects and works of a store; of a bucket those on this machine are copies, and stay.

    Args:
        store: any.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def objects(self) -> dict[str, HeldBytes]:
        """Objects by name (the digest's hex), those without a manifest too, by their folder's."""
        if bucket := self._store.bucket:
            named = {place: name for name, place in _places(bucket).items()}
            held = _sum_up(bucket.entries("objects"))
            found = {named.pop(place, place): each for place, each in held.items()}
            return found | dict.fromkeys(named.values(), HeldBytes(0, 0.0))
        folder = self._store.disk / "objects"
        names = {path.name for path in folder.iterdir()}
        names |= {path.stem for path in (self._store.disk / "manifests").glob("*.json")}
        manifests = self._store.disk / "manifests"
        return {name: _measure(folder / name, manifests / f"{name}.json") for name in names}

    def works(self) -> dict[str, HeldBytes]:
        """Unfinished works by key."""
        if bucket := self._store.bucket:
            return _sum_up(bucket.entries("work"))
        works = self._store.disk / "work"
        return {path.name: _measure(path) for path in works.iterdir() if path.is_dir()}

    def held(self) -> dict[str, str]:
        """Works that somebody is at, with who, as the leases say."""
        return self._store.held()

    def delete_object(self, name: str) -> None:
        """Delete an object, its manifest first, so that nobody sees a part of one."""
        if bucket := self._store.bucket:
            place = _place(bucket, name)
            bucket.delete(f"manifests/{name}.json")
            for path in bucket.sizes(f"objects/{place}"):
                bucket.delete(f"objects/{place}/{path}")
            return
        for ending in ("json", "verified"):
            (self._store.disk / "manifests" / f"{name}.{ending}").unlink(missing_ok=True)
        shutil.rmtree(self._store.disk / "objects" / name, ignore_errors=True)

    def delete_work(self, key: str) -> None:
        """Delete what an unfinished work left, unless somebody has begun to work on it."""
        lease = self._store.lease(key)
        if lease.try_take():
            try:
                self._store.clear(key)
            finally:
                lease.release()


def _places(bucket: Bucket) -> dict[str, str]:
    """Of each object with a manifest the folder of its files."""
    names = [path.removesuffix(".json") for path in bucket.sizes("manifests")]
    return dict(zip(names, do_all(lambda name: _place(bucket, name), names), strict=True))


def _place(bucket: Bucket, name: str) -> str:
    try:
        return read_located(bucket.read(f"manifests/{name}.json")).place
    except (FileNotFoundError, ValueError):  # what was sent and is no object, or none any more
        return name


def _measure(*paths: Path) -> HeldBytes:
    stats = [stat for path in paths for stat in _stats(path)]
    size = sum(each.st_size for each in stats if not S_ISDIR(each.st_mode))
    return HeldBytes(size, max((each.st_mtime for each in stats), default=0.0))


def _stats(place: Path) -> Iterator[os.stat_result]:
    """Of a file, or a folder and all below, as far as they are there: a run may be at work."""
    below = (Path(at, n) for at, dirs, files in os.walk(place) for n in (*dirs, *files))
    for path in (place, *below):
        with suppress(FileNotFoundError):
            yield path.stat()


def _sum_up(entries: dict[str, tuple[int, float]]) -> dict[str, HeldBytes]:
    found: dict[str, HeldBytes] = {}
    for path, (size, changed) in entries.items():
        name = path.partition("/")[0]
        before = found.get(name, HeldBytes(0, 0.0))
        found[name] = HeldBytes(before.size + size, max(before.changed, changed))
    return found
