"""Unfinished work on this machine: its folders, and who works on it."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from k2core.store.bucket import Bucket
from k2core.store.files import BucketFiles, FolderFiles
from k2core.store.states import States


class WorkFolders(NamedTuple):
    """Of one piece of work."""

    out: Path
    scratch: Path


class Works:
    """All works below a folder, each by its key.

    Args:
        root: on this machine.
        remote: address of the store's bucket, whose `work/KEY` holds states; "" if it is a folder.
    """

    def __init__(self, root: Path, remote: str) -> None:
        self._root, self._remote = root, remote
        root.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold a work alone."""
        with (self._root / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def folders(self, key: str) -> WorkFolders:
        """`out` emptied, `scratch` as it was left."""
        out, scratch = self._root / key / "out", self._root / key / "scratch"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        scratch.mkdir(parents=True, exist_ok=True)
        return WorkFolders(out, scratch)

    def states(self, key: str) -> States:
        """Where all machines find them."""
        folder = self._root / key / "states"
        if not self._remote:
            return States(FolderFiles(folder), lambda: None)
        return States(
            BucketFiles(Bucket(f"{self._remote}/work/{key}/states"), folder), lambda: None
        )

    def clear(self, key: str) -> None:
        """Delete the folders and states of finished work."""
        self.states(key).clear()
        shutil.rmtree(self._root / key, ignore_errors=True)
