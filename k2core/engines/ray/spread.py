"""Files made from files, one apart from another, by Ray Data over the nodes of a cluster."""

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
from typing import NamedTuple, TypedDict

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from k2core.engines.ray.actors import fetch, python_path
from k2core.engines.ray.cluster import hold_cluster, release_cluster
from k2core.engines.ray.spare import drop_spare
from k2core.store import StoredFile, read_address

Work = Callable[[Path, Path], None]
"""Reads a file and writes others below a folder; picklable, and the same wherever it runs."""

_RETRIES = 3
_MARK = ".mark"


class WorkLostError(RuntimeError):
    """Nodes were lost again and again; nothing is known of their files."""


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
    """A row of the dataset that is worked on: a `StoredFile`."""

    path: str
    address: str
    sha256: str


class _Made(TypedDict):
    """A row of the dataset that comes of it."""

    folder: str
    files: bytes
    """The folder's content, where the driver does not see it."""
    error: bytes


def spread_files(
    work: Work, sources: Sequence[StoredFile], folder: Path, num_workers: int
) -> Iterator[Path]:
    """Do work over a Ray dataset of files, a row a task of one core; their results in order.

    A worker reads a source by its address, and writes below `folder`, where it sees them (a shared
    disk, a bucket); what it does not see travels through the object store, the source from the
    driver's node when its task begins. Ray Data begins no task whose result has no room in its
    half of the object store: that many bytes and one file a worker are all that is held. The work
    of a node that is lost is done again on another.

    Args:
        work: what is done with a file.
        sources: files on this machine, with the addresses at which others find them.
        folder: emptied first; on the disk where results belong, so that they can be renamed.
        num_workers: tasks at a time.

    Yields:
        A folder below `folder` with what the next source became; deleted when the next is asked
        for.

    Raises:
        Exception: what work raised for the first source, in order, that it failed for; a note
            names the source.
        WorkLostError: a task's process died at each attempt.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    drop_spare()
    hold_cluster(num_workers)
    try:
        home = ray.get_runtime_context().get_node_id()
        rows = _open_rows(_Errand(work, folder, _leave_mark(folder), home), sources, num_workers)
        with contextlib.closing(rows):  # what is under way ends with it
            for number, source in enumerate(sources):
                made = _receive(_next_row(rows, source), folder / f"{number:06d}")
                yield made
                shutil.rmtree(made)
    finally:
        release_cluster()


def _leave_mark(folder: Path) -> str:
    mark = uuid.uuid4().hex
    (folder / _MARK).write_text(mark)
    return mark


def _open_rows(
    errand: _Errand, sources: Sequence[StoredFile], num_workers: int
) -> Generator[_Made]:
    """A row of results for each source, in their order, made while they are taken."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.execution_no_progress_timeout_s = -1  # a shard may take long, and so may the driver
    context.enable_progress_bars = context.print_on_execution_start = False
    items = [{**source._asdict(), "path": str(source.path)} for source in sources]
    threads = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
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


def _next_row(rows: Iterator[_Made], source: StoredFile) -> _Made:
    try:
        row = next(rows)
    except ray.exceptions.RayError as error:
        raise WorkLostError(f"{source.path} or one after it: {error}") from error
    if row["error"]:
        raise ray.cloudpickle.loads(row["error"])
    return row


def _receive(row: _Made, target: Path) -> Path:
    if not row["files"]:
        return Path(row["folder"])
    with tarfile.open(fileobj=io.BytesIO(row["files"])) as archive:
        archive.extractall(target, filter="data")
    return target


def _work_apart(row: _Asked, errand: _Errand) -> _Made:
    """In a worker. An error is a result too, so that the first in order is the one raised."""
    try:
        return _make(row, errand)
    except Exception as error:
        error.add_note(f"of {row['path']}, in a Ray worker")
        return {"folder": "", "files": b"", "error": _pickle(error)}


def _make(row: _Asked, errand: _Errand) -> _Made:
    mark = errand.folder / _MARK
    shared = mark.is_file() and mark.read_text() == errand.mark
    with tempfile.TemporaryDirectory(prefix="k2-spread-") as aside:
        made = Path(tempfile.mkdtemp(dir=errand.folder if shared else aside))
        errand.work(_find_source(row, Path(aside), errand.home), made)
        return {"folder": str(made), "files": b"" if shared else _pack(made), "error": b""}


def _find_source(row: _Asked, aside: Path, home: str) -> Path:
    """The source itself where it is seen, else a copy of it."""
    content = _read_here(row["address"])
    if content is not None and hashlib.sha256(content).hexdigest() == row["sha256"]:
        if "://" not in row["address"]:
            return Path(row["address"])
    else:
        strategy = NodeAffinitySchedulingStrategy(home, soft=False)
        remote = ray.remote(Path.read_bytes).options(num_cpus=0, scheduling_strategy=strategy)
        content = fetch(remote.remote(Path(row["path"])), WorkLostError)
    copy = aside / Path(row["path"]).name
    copy.write_bytes(content)
    return copy


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
