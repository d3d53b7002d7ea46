"""Files made from files, one apart from another, by the processes of a Ray cluster."""

import functools
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import ray
from k2core.engines.ray.cluster import hold_cluster, release_cluster

Work = Callable[[Path, Path], None]
"""Reads a file and writes others below a folder; picklable, and the same wherever it runs."""

_ROOT = Path(__file__).resolve().parents[3]


def spread_files(
    work: Work, sources: Sequence[Path], num_workers: int
) -> Iterator[Mapping[str, bytes]]:
    """Do work in Ray tasks of one core each; yields what each source became, in their order.

    Files travel as bytes through the object store, so the nodes share no disk. `num_workers` are
    under way together and no more are held: memory is bounded by that many files. The work of a
    node that is lost is done again on another.

    Args:
        work: what is done with a file.
        sources: files on this machine.
        num_workers: tasks at a time.

    Yields:
        Name below the folder -> content.
    """
    hold_cluster(num_workers)
    try:
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        variables = {"PYTHONPATH": path, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
        remote = ray.remote(_work_apart).options(
            num_cpus=1, runtime_env={"env_vars": variables}, max_retries=3
        )
        shared = ray.put(work)
        start = functools.partial(_start, remote, shared)
        under_way = deque(start(path) for path in sources[:num_workers])
        for next_source in [*sources[num_workers:], *[None] * len(under_way)]:
            yield _finish(under_way.popleft())
            if next_source is not None:
                under_way.append(start(next_source))
    finally:
        release_cluster()


def _start(remote: "ray.remote_function.RemoteFunction", work: object, source: Path) -> object:
    return remote.remote(work, source.name, source.read_bytes())


def _finish(answer: object) -> Mapping[str, bytes]:
    """The files; an error of the work is raised as it was."""
    try:
        found: Mapping[str, bytes] = ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else error) from error
    return found


def _work_apart(work: Work, name: str, content: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="k2-spread-") as folder:
        source, out = Path(folder) / "in" / name, Path(folder) / "out"
        source.parent.mkdir()
        out.mkdir()
        source.write_bytes(content)
        work(source, out)
        files = (path for path in sorted(out.rglob("*")) if path.is_file())
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}
