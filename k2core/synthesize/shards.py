"""Shards in the scratch folder: written aside and renamed, so a killed stage goes on after them."""

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.synthesize.trajectories import Trajectory, to_row
from schemas.chat import TrajectoryRow

KINDS = ("accepted", "rejects")
_SCHEMA = {name: column.dtype.type for name, column in TrajectoryRow.to_schema().columns.items()}


class TrajectoryShard(NamedTuple):
    """One shard's two tables."""

    accepted: Path
    rejects: Path


def make_shard(
    scratch: Path, name: str, make: Callable[[], Iterable[Trajectory]]
) -> TrajectoryShard:
    """The shard's tables, from an earlier run if that one finished them."""
    shard = TrajectoryShard(*(scratch / f"{kind}-{name}.parquet" for kind in KINDS))
    if shard.rejects.exists():
        return shard
    samples = list(make())
    # `rejects` goes last: with it the shard is whole.
    write_table(shard.accepted, [s for s in samples if s.accepted])
    write_table(shard.rejects, [s for s in samples if not s.accepted])
    return shard


def write_table(path: Path, samples: Iterable[Trajectory]) -> None:
    """A validated table."""
    frame = pl.DataFrame([to_row(sample) for sample in samples], schema=_SCHEMA)
    buffer = io.BytesIO()
    TrajectoryRow.validate(frame).write_parquet(buffer)
    write_aside(path, buffer.getvalue())


def write_aside(path: Path, content: bytes) -> None:
    """A file that is whole or not there."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.rename(path)
