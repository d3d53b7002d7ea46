"""Unfinished work on this machine: its folders, and who works on it."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class WorkFolders(NamedTuple):
    """Of one piece of work."""

    out: Path
    scratch: Path


class Works:
    """All works below a folder, each by its key."""

    def __init__(self, root: Path) -> None:
        self._root = root
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

    def clear(self, key: str) -> None:
        """Delete the folders of finished work."""
        shutil.rmtree(self._root / key, ignore_errors=True)
