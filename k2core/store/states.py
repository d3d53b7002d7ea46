"""States of unfinished work: files that outlive the machine, by names such as `step-008/rank-3`.

With a folder as the store's root they are plain files in `work/KEY/states`; with a bucket they are
objects under `work/KEY/states`, so that another machine goes on. A file is there whole or not at
all. Several that belong together are a *set*, a folder of names, which is whole once it is sealed:

    states.delete("step-008")                        # one process: what a kill may have left of it
    with states.writing("step-008/rank-3") as path:  # any number of processes, which then wait
        save_file(tensors, path)
    states.seal("step-008", keep=2)                  # one process, last

    newest = states.sealed("step-")[-1]              # on any machine
    safe_open(states.fetch(f"{newest}/rank-3"), "pt")
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from schemas.errors import room_for

_SEAL = "/sealed"


class Files(Protocol):
    """Where the files are: a folder or a bucket."""

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A path to write; what is there when the block ends well is the file."""

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Bytes of a file."""

    def fetch(self, name: str) -> Path:
        """The file on this machine."""

    def names(self) -> list[str]:
        """All files, sorted."""

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""


class States:
    """The states of one piece of work.

    Args:
        files: where they are.
        check: called before a set is sealed; it raises if this process may not speak for the work
            any more, because another one has taken it over.
    """

    def __init__(self, files: Files, check: Callable[[], None]) -> None:
        self._files, self._check = files, check

    def put(self, name: str, content: bytes) -> None:
        """Write a small file, over an older one."""
        with self._files.writing(name) as path, room_for(path, len(content)):
            path.write_bytes(content)

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A path on this machine's disk to write to; when the block ends well it is the file.

        It has the last part of `name` for its own.
        """
        return self._files.writing(name)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """A file's bytes from `start` to before `stop`, and no others are fetched.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return self._files.read(name, start, stop)

    def fetch(self, name: str) -> Path:
        """A file as a path on this machine, to read; it has the last part of `name` for its own.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return self._files.fetch(name)

    def names(self, prefix: str = "") -> list[str]:
        """Files whose names begin so, sorted, whether their set is sealed or not."""
        found = self._files.names()
        return [name for name in found if name.startswith(prefix) and not name.endswith(_SEAL)]

    def delete(self, name: str) -> None:
        """Delete a file, or a set with all that is in it; maybe there is none."""
        found = [n for n in self._files.names() if n == name or n.startswith(f"{name}/")]
        for each in sorted(found, key=lambda n: not n.endswith(_SEAL)):  # the seal goes first
            self._files.delete(each)

    def clear(self) -> None:
        """Delete all."""
        for name in sorted(self._files.names(), key=lambda n: not n.endswith(_SEAL)):
            self._files.delete(name)

    def seal(self, name: str, keep: int) -> None:
        """From now on the set is whole; of its kind, `step-` of `step-008`, few older ones stay.

        Args:
            name: of a set that all have written.
            keep: newest sealed sets that stay, in the order of names, this one among them. Older
                ones go, sealed or not.

        Raises:
            LeaseLostError: another process has taken the work over.
        """
        self._check()
        self.put(name + _SEAL, b"")
        kind = name[: name.rindex("-") + 1]
        kept = self.sealed(kind)[-keep:]
        found = {kind + n.removeprefix(kind).partition("/")[0] for n in self.names(kind)}
        for old in sorted(found):
            if old < name and old not in kept:
                self.delete(old)

    def sealed(self, kind: str = "") -> list[str]:
        """The whole sets whose names begin so, in the order of their names."""
        found = [n for n in self._files.names() if n.startswith(kind) and n.endswith(_SEAL)]
        return [name.removesuffix(_SEAL) for name in found]
