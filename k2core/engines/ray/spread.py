"""Files made from files, one apart from another, by the processes of a Ray cluster."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from k2core.engines.ray.actors import fetch, python_path
from k2core.engines.ray.cluster import hold_cluster, release_cluster

Work = Callable[[Path, Path], None]
"""Reads a file and writes others below a folder; picklable, and the same wherever it runs."""

_RETRIES = 3


class WorkLostError(RuntimeError):
    """Nodes were lost again and again; nothing is known of their files."""


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
        threads = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
        remote = ray.remote(_work_apart).options(
            num_cpus=1,
            runtime_env={"env_vars": {"PYTHONPATH": python_path(), **threads}},
            max_retries=_RETRIES,
        )
        shared, waiting, under_way = ray.put(work), deque(sources), deque[Any]()
        while waiting or under_way:
            while waiting and len(under_way) < num_workers:
                source = waiting.popleft()
                under_way.append(remote.remote(shared, source.name, source.read_bytes()))
            files: Mapping[str, bytes] = fetch(under_way.popleft(), WorkLostError)
            yield files
    finally:
        release_cluster()


def _work_apart(work: Work, name: str, content: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="k2-spread-") as folder:
        source, out = Path(folder) / "in" / name, Path(folder) / "out"
        source.parent.mkdir()
        out.mkdir()
        source.write_bytes(content)
        work(source, out)
        files = (path for path in sorted(out.rglob("*")) if path.is_file())
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}
