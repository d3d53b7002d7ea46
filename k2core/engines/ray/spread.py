"""Pieces of work, one apart from another, by Ray Data over the nodes of a cluster."""

import contextlib
import hashlib
import io
import logging
import shutil
import tarfile
import tempfile
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from k2core.engines.ray.actors import fetch, python_path
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.spare import drop_spare
from k2core.pieces import NotSeenError, Piece, Work
from k2core.store import ArtifactCorruptError, StoredFile, read_address

if TYPE_CHECKING:
    from ray.remote_function import RemoteFunction

_RETRIES = 3
_MARK = ".mark"


class WorkLostError(RuntimeError):
    """Nodes were lost again and again; nothing is known of their pieces."""


class _Errand(NamedTuple):
    """What every task is told, once for all of them."""

    work: Work
    folder: Path
    """Where results are written by those that see it."""
    mark: str
    """What stands in it: the same path on another machine is another folder."""
    home: str
    """The driver's node."""


class _Asked(TypedDict):
    """A row of the dataset that is worked on: a `Piece`, pickled."""

    piece: bytes


class _Made(TypedDict):
    """A row of the dataset that comes of it."""

    folder: str
    files: bytes
    """The folder's content, where the driver does not see it."""
    error: bytes


@contextlib.contextmanager
def hold_workers(num_workers: int) -> Iterator[None]:
    """Hold a cluster for so many, so that one pass after another finds it."""
    drop_spare()
    hold_cluster(num_workers)
    try:
        yield
    finally:
        release_cluster()


def spread_pieces(
    work: Work, pieces: Sequence[Piece], folder: Path, num_workers: int
) -> Iterator[Path]:
    """Do work over a Ray dataset of pieces, a row a task of one core; their results in order.

    A worker reads a file by its address, and writes below `folder`, where it sees them (a shared
    disk, a bucket); what it does not see travels through the object store, the file from the
    driver's node when its task begins. Ray Data begins no task whose result has no room in its
    half of the object store: that many bytes and one piece a worker are all that is held. The work
    of a node that is lost is done again on another.

    Args:
        work: what is done with a piece.
        pieces: of which only the worker looks at the files.
        folder: emptied first; on the disk where results belong, so that they can be renamed.
        num_workers: tasks at a time.

    Yields:
        A folder below `folder` with what the next piece became; if it is still there when the next
        is asked for, it is deleted.

    Raises:
        Exception: what work raised for the first piece, in order, that it failed for; a note
            names its files.
        WorkLostError: a task's process died at each attempt.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with hold_workers(num_workers):
        home = ray.get_runtime_context().get_node_id()
        rows = _open_rows(_Errand(work, folder, _leave_mark(folder), home), pieces, num_workers)
        with contextlib.closing(rows):  # what is under way ends with it
            for number, piece in enumerate(pieces):
                made = _receive(_next_row(rows, piece), folder / f"{number:06d}")
                yield made
                shutil.rmtree(made, ignore_errors=True)


def _leave_mark(folder: Path) -> str:
    mark = uuid.uuid4().hex
    (folder / _MARK).write_text(mark)
    return mark


def _open_rows(errand: _Errand, pieces: Sequence[Piece], num_workers: int) -> Generator[_Made]:
    """A row of results for each piece, in their order, made while they are taken."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.execution_no_progress_timeout_s = -1  # a shard may take long, and so may the driver
    context.enable_progress_bars = context.print_on_execution_start = False
    items = [{"piece": ray.cloudpickle.dumps(piece)} for piece in pieces]
    threads = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    with ray.data.DataContext.current(context), warnings.catch_warnings():
        # Ray Data retries for ever by itself, and has no other word for it than this one.
        warnings.filterwarnings("ignore", message=".*ray_remote_args", category=DeprecationWarning)
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map(
            _work_apart,
            fn_args=[errand],
            compute=ray.data.TaskPoolStrategy(size=min(num_workers, len(items))),
            num_cpus=1,
            runtime_env={"env_vars": {"PYTHONPATH": python_path(), **threads}},
            max_retries=_RETRIES,
        )
        rows: Generator[_Made] = iter(dataset.iter_rows())
        return rows


def _next_row(rows: Iterator[_Made], piece: Piece) -> _Made:
    try:
        row = next(rows)
    except ray.exceptions.RayError as error:
        raise WorkLostError(f"{_name(piece)} or one after it: {error}") from error
    if row["error"]:
        raise ray.cloudpickle.loads(row["error"])
    return row


def _receive(row: _Made, target: Path) -> Path:
    if not row["files"]:
        return Path(row["folder"])
    with tarfile.open(fileobj=io.BytesIO(row["files"])) as archive:
        archive.extractall(target, filter="data")
    return target


def _name(piece: Piece) -> str:
    return str(piece.files[0].path) if piece.files else str(piece.told)[:200]


def _work_apart(row: _Asked, errand: _Errand) -> _Made:
    """In a worker. An error is a result too, so that the first in order is the one raised."""
    piece: Piece = ray.cloudpickle.loads(row["piece"])
    try:
        try:
            return _make(piece, errand)
        except NotSeenError:
            made: _Made = fetch(_at_home(_make, errand.home).remote(piece, errand), WorkLostError)
            return made
    except Exception as error:
        error.add_note(f"of {_name(piece)}, in a Ray worker")
        return {"folder": "", "files": b"", "error": _pickle(error)}


def _make(piece: Piece, errand: _Errand) -> _Made:
    mark = errand.folder / _MARK
    shared = mark.is_file() and mark.read_text() == errand.mark
    with tempfile.TemporaryDirectory(prefix="k2-spread-") as aside:
        made = Path(tempfile.mkdtemp(dir=errand.folder if shared else aside))
        found = [
            _find_file(file, Path(aside, f"{number}"), errand.home, shared)
            for number, file in enumerate(piece.files)
        ]
        errand.work(found, piece.told, made)
        return {"folder": str(made), "files": b"" if shared else _pack(made), "error": b""}


def _find_file(file: StoredFile, aside: Path, home: str, shared: bool) -> Path:
    """The file itself where it is seen, else a copy of it."""
    if not file.sha256:  # a result of an earlier pass: it lies where results do
        if shared:
            return file.path
        content = None
    else:
        content = _read_here(file.address)
    if content is not None and hashlib.sha256(content).hexdigest() == file.sha256:
        if "://" not in file.address:
            return Path(file.address)
    else:
        content = fetch(_at_home(_read_file, home).remote(file), WorkLostError)
        if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
            raise ArtifactCorruptError(
                f"{file.address} does not match the SHA-256 of its manifest: delete that manifest "
                "and rerun the stage that makes the artifact"
            )
    aside.mkdir()
    copy = aside / file.path.name
    copy.write_bytes(content)
    return copy


def _at_home(work: "Callable[..., object]", home: str) -> "RemoteFunction":
    """To be called on the driver's node, while this task waits."""
    strategy = NodeAffinitySchedulingStrategy(home, soft=False)
    return ray.remote(work).options(num_cpus=0, scheduling_strategy=strategy)


def _read_file(file: StoredFile) -> bytes:
    """What this machine has fetched, or reaches."""
    return file.path.read_bytes() if file.path.is_file() else read_address(file.address)


def _read_here(address: str) -> bytes | None:
    try:
        return read_address(address)
    except Exception:  # no such file here, no credentials, no way: the driver's node has it
        return None


def _pack(folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(folder, arcname=".")
    return stream.getvalue()


def _pickle(error: Exception) -> bytes:
    try:
        content: bytes = ray.cloudpickle.dumps(error)
        ray.cloudpickle.loads(content)
    except Exception:  # some errors cannot be made anew from their arguments
        content = ray.cloudpickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return content
