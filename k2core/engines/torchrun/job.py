"""What the stage's process and its ranks tell each other: the job, and how it ended."""

import io
import pickle
import socket
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from k2core.engines.torchrun.peers import PeerError, RankError
from k2core.reporting import Reporter
from schemas.placement import Placement

_REPORT = "report"


class RankJob(NamedTuple):
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


def pack_job(job: RankJob, report: Reporter) -> bytes:
    """For all ranks; wherever the inputs hold the reporter, a rank finds its own."""
    buffer = io.BytesIO()
    _Pickler(buffer, report).dump(tuple(job))
    return buffer.getvalue()


def unpack_job(content: bytes, report: Reporter) -> RankJob:
    """On a rank."""
    return RankJob(*_Unpickler(io.BytesIO(content), report).load())


def pack_failure(rank: int, error: Exception) -> bytes:
    """An error that ended a rank, as far as it can travel."""
    said = "".join(traceback.format_exception(error))
    failure = Failure(rank, socket.gethostname(), error, said, isinstance(error, PeerError))
    try:
        pickle.loads(found := pickle.dumps(tuple(failure)))
    except Exception:  # an exception may be of any kind, and refuse in any way
        found = pickle.dumps(tuple(failure._replace(error=None)))
    return found


def unpack_failure(content: bytes) -> Failure:
    """In the stage's process."""
    return Failure(*pickle.loads(content))


def first_cause(failures: Iterable[Failure]) -> Exception | None:
    """What the stage's process raises, by what ranks said: those who were let down come last."""
    found = sorted(failures, key=lambda failure: failure.let_down)
    for one in found:
        # Rank 0 is the stage, and what is not finite is so on all ranks.
        alike = one.rank == 0 or isinstance(one.error, FloatingPointError)
        if one.error and alike and not one.let_down:
            one.error.add_note(f"on rank {one.rank}, {one.host}:\n{one.said}")
            return one.error
    if not found:
        return None
    first = found[0]
    where = f"rank {first.rank} on {first.host} failed:\n{first.said}"
    return RankError(str(first.error) if first.let_down else where)


def write_job(folder: Path, job: RankJob, report: Reporter) -> None:
    """For the ranks of this machine."""
    (folder / "job").write_bytes(pack_job(job, report))


def read_job(folder: Path, report: Reporter) -> RankJob:
    """On a rank."""
    return unpack_job((folder / "job").read_bytes(), report)


def write_value(folder: Path, value: object) -> None:
    """What rank 0 returned."""
    (folder / "value").write_bytes(pickle.dumps(value, protocol=5))


def read_value(folder: Path) -> object:
    """In the stage's process."""
    return pickle.loads((folder / "value").read_bytes())


def write_failure(folder: Path, rank: int, error: Exception) -> None:
    """An error that ended a rank; whole or not at all."""
    aside = folder / f"aside-{rank}"
    aside.write_bytes(pack_failure(rank, error))
    aside.rename(folder / f"failure-{rank:05d}")


def read_failures(folder: Path) -> list[Failure]:
    """Those that were left, by rank."""
    found = []
    for path in sorted(folder.glob("failure-*")):
        with suppress(EOFError):
            found.append(unpack_failure(path.read_bytes()))
    return found
