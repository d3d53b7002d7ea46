"""Who works on a key: one process at a time, wherever; a dead one's work is taken over.

In a folder it is a lock of the file system: a killed process lets go of it at once. Machines that
share the folder need a file system whose `flock` reaches all of them, such as NFS.

In a bucket it is a small object that only its holder rewrites, again and again. Every write is
conditional on the state that the writer has seen, so that of two only one succeeds. Who waits takes
over when the object has not changed for a while by its own clock: no two clocks are ever compared.
"""

import fcntl
import os
import socket
from pathlib import Path
from typing import IO, NamedTuple, Protocol


class Beat(NamedTuple):
    """How a lease in a bucket lives."""

    every: float = 5.0
    """Seconds from one write of the holder to the next, and from look to look of who waits."""
    patience: float = 30.0
    """Seconds without a write after which the holder is dead."""


class Lease(Protocol):
    """The right to work on a key."""

    pause: float
    """Seconds until it is worth to try again."""
    waited: bool
    """Whether somebody else held it when it was first tried."""
    holder: str
    """Who, in words."""

    def try_take(self) -> bool:
        """Take it, if nobody who lives has it."""

    def check(self) -> None:
        """Make sure that it is still held.

        Raises:
            LeaseLostError: another process took it, thinking this one dead.
        """

    def release(self) -> None:
        """Let go."""


class FolderLease:
    """A lock of a file, with its holder's name in it."""

    pause = 0.2

    def __init__(self, path: Path) -> None:
        self.waited, self.holder = False, ""
        self._path = path
        self._stream: IO[str] | None = None

    def try_take(self) -> bool:
        """Take it, if nobody has it."""
        stream = self._path.open("a+")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            self.waited, self.holder = True, stream.read()
            stream.close()
            return False
        stream.truncate(0)
        stream.write(own_name())
        stream.flush()
        self._stream = stream
        return True

    def look(self) -> str:
        """Who has it, without taking it; empty if nobody does."""
        with self._path.open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read()
        return ""

    def check(self) -> None:
        """Nobody can take a lock away."""

    def release(self) -> None:
        """Let go."""
        if self._stream:
            self._stream.close()
            self._stream = None


def own_name() -> str:
    """This process, in words."""
    return f"process {os.getpid()} on {socket.gethostname()}"
