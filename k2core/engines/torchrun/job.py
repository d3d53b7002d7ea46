"""What the stage's process and its ranks leave for each other in a folder."""

import io
import pickle
import socket
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from k2core.engines.torchrun.peers import PeerError
from k2core.reporting import Reporter
from schemas.placement import Placement

_REPORT = "report"


class Job(NamedTuple):
    """Work for every rank."""

    work: Callable[..., object]
    """A module's function: ranks import it."""
    inputs: Sequence[object]
    placement: Placement


class Failure(NamedTuple):
    """How the work ended on a rank."""

    rank: int
    host: str
    error: Exception | None
    """None if it cannot travel."""
    said: str
    """Its traceback."""
    let_down: bool
    """By other ranks."""


class _Pickler(pickle.Pickler):
    def __init__(self, file: BinaryIO, report: Reporter) -> None:
        super().__init__(file, protocol=5)
        self._report = report

    def persistent_id(self, obj: object) -> str | None:
        """The reporter stays where it is."""
        return _REPORT if obj is self._report else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, report: Reporter) -> None:
        super().__init__(file)
        self._report = report

    def persistent_load(self, pid: object) -> Reporter:
        """This rank's own."""
        return self._report


def write_job(folder: Path, job: Job, report: Reporter) -> None:
    """For all ranks; wherever the inputs hold the reporter, a rank finds its own."""
    buffer = io.BytesIO()
    _Pickler(buffer, report).dump(tuple(job))
    (folder / "job").write_bytes(buffer.getvalue())


def read_job(folder: Path, report: Reporter) -> Job:
    """On a rank."""
    with (folder / "job").open("rb") as file:
        return Job(*_Unpickler(file, report).load())


def write_value(folder: Path, value: object) -> None:
    """What rank 0 returned."""
    (folder / "value").write_bytes(pickle.dumps(value, protocol=5))


def read_value(folder: Path) -> object:
    """In the stage's process."""
    return pickle.loads((folder / "value").read_bytes())


def write_failure(folder: Path, rank: int, error: Exception) -> None:
    """An error that ended a rank; whole or not at all."""
    said = "".join(traceback.format_exception(error))
    failure = Failure(rank, socket.gethostname(), error, said, isinstance(error, PeerError))
    try:
        pickle.loads(found := pickle.dumps(tuple(failure)))
    except Exception:  # an exception may be of any kind, and refuse in any way
        found = pickle.dumps(tuple(failure._replace(error=None)))
    aside = folder / f"aside-{rank}"
    aside.write_bytes(found)
    aside.rename(folder / f"failure-{rank:05d}")


def read_failures(folder: Path) -> list[Failure]:
    """Those who were not let down first."""
    found = []
    for path in sorted(folder.glob("failure-*")):
        with suppress(EOFError):
            found.append(Failure(*pickle.loads(path.read_bytes())))
    return sorted(found, key=lambda failure: failure.let_down)
