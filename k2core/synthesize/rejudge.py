"""Judging stored trajectories again, without playing them again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from k2core.synthesize.judge import Judge, Judgement
from k2core.synthesize.trajectories import from_row
from k2core.tables import list_shards, read_shard
from schemas.chat import TrajectoryRow

KINDS = ("accepted", "rejects")


class Rejudged(NamedTuple):
    """A stored trajectory with its old and its new judgement."""

    row: dict[str, Any]
    new: Judgement
    judge_fault: str
    """What the old judge did wrong; empty if the program bears it out."""

    @property
    def changed(self) -> bool:
        """Whether it is accepted now and was not, or the other way round."""
        return bool(self.row["reason"]) != bool(self.new.reason)


def rejudge(folder: Path, judge: Judge) -> Iterator[Rejudged]:
    """Every trajectory of a set, shard by shard, accepted ones first.

    Raises:
        TableError: a shard is missing or breaks its promise; the message names it.
    """
    for kind in KINDS:
        if not any((folder / kind).glob("*.parquet")):
            continue
        for shard in list_shards(folder / kind):
            for row in read_shard(shard, TrajectoryRow).iter_rows(named=True):
                dialogue = from_row(row)
                claimed = Judgement(row["reward"], row["reason"])
                fault = judge.audit(dialogue, claimed)
                judged = fault.what if fault and fault.side == "judge" else ""
                yield Rejudged(row, judge.judge(dialogue), judged)
