"""Which rollouts are worth reading: the best, the worst, those cut off, the odd ones."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

import polars as pl
from pydantic import TypeAdapter

from schemas.chat import Message

_MESSAGES = TypeAdapter(list[Message])
_ROWS = 8


class Rollout(TypedDict):
    """The columns of `schemas.chat.RolloutRow` that are shown."""

    rollout_id: str
    problem_id: str
    messages: str
    num_tokens: int
    reward: float
    advantage: float
    reason: str


class IterationLine(NamedTuple):
    """Of an iteration."""

    iteration: int
    rollouts: int
    reward: str
    tokens: str
    reasons: str


class Chosen(NamedTuple):
    """A rollout, and why it is shown."""

    name: str
    row: Rollout


_ORDERS = {
    "best": (["advantage", "num_tokens"], [True, False]),
    "worst": (["advantage", "num_tokens"], [False, True]),
    "rejected": (["iteration", "advantage"], [True, False]),
    "odd": (["surprise"], [True]),
}
"""Sorted by, and whether the largest is first; `rejected` are those whose reason is not empty."""


def summarise(rows: pl.DataFrame) -> Iterator[IterationLine]:
    """A line an iteration."""
    for part in rows.sort("iteration").partition_by("iteration", maintain_order=True):
        reasons = Counter(filter(None, part["reason"])).most_common(4)
        yield IterationLine(
            int(part["iteration"][0]),
            len(part),
            f"{statistics.fmean(part['reward']):.3f}",
            f"{statistics.fmean(part['num_tokens']):.1f}",
            ", ".join(f"{count} x {reason}" for reason, count in reasons),
        )


def choose_rows(rows: pl.DataFrame, count: int) -> Iterator[Chosen]:
    """Of each kind so many, none twice.

    Odd is what the policy itself found least likely, a token: the largest mean -log p.
    """
    surprise = -pl.col("logprobs").list.drop_nulls().list.mean().fill_null(0.0)
    rows, seen = rows.with_columns(surprise.alias("surprise")), set[str]()
    for name, (columns, descending) in _ORDERS.items():
        of_kind = rows.filter(pl.col("reason") != "") if name == "rejected" else rows
        left = of_kind.filter(~pl.col("rollout_id").is_in(list(seen)))
        picked = left.sort([*columns, "rollout_id"], descending=[*descending, False]).head(count)
        for row in picked.to_dicts():
            seen.add(row["rollout_id"])
            yield Chosen(name, cast("Rollout", row))


def lay_side_by_side(paths: Sequence[Path]) -> Iterator[dict[str, str]]:
    """For the report: a row an iteration, a column a kind, of at most `_ROWS` iterations.

    Args:
        paths: the iterations' tables, in order.
    """
    step = max(1, -(-len(paths) // _ROWS))
    shown = sorted({*range(0, len(paths), step), len(paths) - 1})
    for index in shown:
        chosen = {
            name: _in_words(row) for name, row in choose_rows(pl.read_parquet(paths[index]), 1)
        }
        yield {"iteration": str(index + 1), **{name: chosen.get(name, "") for name in _ORDERS}}


def _in_words(row: Rollout) -> str:
    head = f"{row['problem_id']} reward {row['reward']:g} {row['reason']}".rstrip()
    lines = [
        " ".join([m.role, m.content, *(f"{c.name} {c.arguments}" for c in m.tool_calls)])
        for m in _MESSAGES.validate_json(row["messages"])
    ]
    return "\n".join([head, *lines])
