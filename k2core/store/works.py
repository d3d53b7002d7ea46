"""Unfinished work: its folders on this machine, its states, and who works on it."""

import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

from k2core.store.bucket import Bucket
from k2core.store.bucket_lease import BucketLease, holder_of
from k2core.store.files import BucketFiles, FolderFiles
from k2core.store.lease import Beat, FolderLease, Lease
from k2core.store.made import MadeFolders
from k2core.store.states import States


class WorkFolders(NamedTuple):
    """Of one piece of work."""

    out: Path
    scratch: Path


class Works:
    """All works below a folder, each by its key.

    Args:
        root: on this machine.
        remote: address of the store's bucket, which holds states and leases; "" if it is a folder.
        beat: of leases in a bucket.
    """

    def __init__(self, root: Path, remote: str, beat: Beat) -> None:
        self._root, self._remote, self._beat = root, remote, beat
        self._leases: dict[str, Lease] = {}
        root.mkdir(parents=True, exist_ok=True)

    def __getstate__(self) -> dict[str, object]:
        """For another process of the same work: leases stay with the one that took them."""
        return {**self.__dict__, "_leases": {}}

    def lease(self, key: str) -> Lease:
        """The right to work on a key, not taken yet; if it is lost later, no state is sealed."""
        if self._remote:
            lease: Lease = BucketLease(
                Bucket(self._remote, timeout_s=10), f"leases/{key}", self._beat
            )
        else:
            lease = FolderLease(self._root / f"{key}.lock")
        self._leases[key] = lease
        return lease

    def held(self) -> dict[str, str]:
        """Works whose lease somebody has, with who."""
        found = {}
        if self._remote:
            bucket = Bucket(self._remote)
            for key in bucket.sizes("leases"):
                said = bucket.read_tagged(f"leases/{key}")
                if said and (holder := holder_of(said.content)):
                    found[key] = holder
            return found
        for path in self._root.glob("*.lock"):
            if holder := FolderLease(path).look():
                found[path.stem] = holder
        return found

    def folders(self, key: str, part: int) -> WorkFolders:
        """`out` emptied, each part's own; `scratch` as it was left."""
        out = self._root / key / (f"out-{part}" if part else "out")
        scratch = self._root / key / "scratch"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        scratch.mkdir(parents=True, exist_ok=True)
        return WorkFolders(out, scratch)

    def states(self, key: str) -> States:
        """Where all machines find them."""
        folder = self._root / key / "states"
        if not self._remote:
            return States(FolderFiles(folder), partial(self._check, key))
        bucket = Bucket(f"{self._remote}/work/{key}/states")
        return States(BucketFiles(bucket, folder), partial(self._check, key))

    def made(self, key: str) -> MadeFolders | None:
        """What other machines make for it: among its states; None without a bucket."""
        return MadeFolders(f"{self._remote}/work/{key}/states") if self._remote else None

    def note_result(self, key: str, result: bytes) -> None:
        """Say what came of a work, for those who wait for it."""
        self._results().put(key, result)

    def result(self, key: str) -> bytes | None:
        """What came of a work when it was last done."""
        try:
            return self._results().read(key)
        except FileNotFoundError:
            return None

    def clear(self, key: str) -> None:
        """Delete the folders and states of finished work."""
        self.states(key).clear()
        shutil.rmtree(self._root / key, ignore_errors=True)

    def _results(self) -> States:
        folder = self._root.parent / "results"
        if not self._remote:
            return States(FolderFiles(folder), lambda: None)
        return States(BucketFiles(Bucket(f"{self._remote}/results"), folder), lambda: None)

    def _check(self, key: str) -> None:
        if key in self._leases:
            self._leases[key].check()
