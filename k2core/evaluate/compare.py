"""Two models item by item: what was won, what was lost, and what each of them said."""

import json
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.evaluate.conditions import PLAIN
from k2core.paired import correct, pair
from k2core.rates import clustered_rate, rate_of
from k2core.tables import read_shard
from schemas.benchmarks import ItemRow
from schemas.evaluate import AnswerRow, Change, Rate

_CUT_OFF = ("over_budget", "token_budget", "max_tokens")


class Answered(NamedTuple):
    """One model's answers, in the columns that both kinds of evaluation share."""

    name: str
    items: pl.DataFrame
    """`category`, `item`, `sample`, `passed`, `faulty`, `reason`, `said`, `num_tokens`."""


class Side(NamedTuple):
    """One model in one category."""

    rate: Rate
    mean_tokens: float
    """Of an answer."""


class CategoryRow(NamedTuple):
    """One category, or all."""

    category: str
    one: Side
    other: Side
    change: Change


class Flip(NamedTuple):
    """An item that one model passed more often than the other."""

    category: str
    item: str
    won: bool
    """Whether the second is the better."""
    reasons: tuple[str, str]
    said: tuple[str, str]


class Comparison(NamedTuple):
    """Everything that is shown."""

    names: tuple[str, str]
    rows: list[CategoryRow]
    flips: list[Flip]
    only_one: int
    """Items that only one of them was asked."""


def read_answers(path: Path, name: str) -> Answered:
    """The answers of a checkpoint in an evaluation, or of a folder of `k2 evaluate`.

    Args:
        path: a parquet file of `AnswerRow`s or of `ItemRow`s.
        name: how it is called.
    """
    if "suite" not in pl.read_parquet_schema(path):
        return Answered(name, _from_answers(read_shard(path, AnswerRow)))
    rows = read_shard(path, ItemRow)
    said = pl.concat_str([pl.col("prompt"), pl.col("answer")], separator="\n\n=> ")
    category = pl.concat_str([pl.col("suite"), pl.col("category")], separator="/")
    return Answered(name, rows.with_columns(category=category, said=said))


def compare(one: Answered, other: Answered) -> Comparison:
    """Hold two models' answers to the same items against each other.

    Raises:
        ValueError: they share no item.
    """
    key = ("category", "item")
    both = one.items.select(key).unique().join(other.items.select(key).unique(), on=key)
    if both.is_empty():
        raise ValueError(f"{one.name} and {other.name} were asked no item in common")
    mine, theirs = (a.items.join(both, on=key, how="semi") for a in (one, other))
    categories = list(dict.fromkeys(mine["category"]))
    changes = correct({c: _change(_of(mine, c), _of(theirs, c)) for c in categories})
    whole = _change(mine, theirs)
    rows = [
        CategoryRow(c, _side(_of(mine, c)), _side(_of(theirs, c)), changes[c]) for c in categories
    ]
    whole = whole.model_copy(update={"p_corrected": whole.p_value})
    rows.append(CategoryRow("all", _side(mine), _side(theirs), whole))
    asked = one.items.select(key).unique().height + other.items.select(key).unique().height
    return Comparison((one.name, other.name), rows, _flips(mine, theirs), asked - 2 * both.height)


def cut_off(items: pl.DataFrame) -> Rate:
    """Answers that ended at their budget."""
    return rate_of(int(items["reason"].is_in(_CUT_OFF).sum()), items.height)


def _of(items: pl.DataFrame, category: str) -> pl.DataFrame:
    return items.filter(pl.col("category") == category)


def _side(items: pl.DataFrame) -> Side:
    right = items.filter(~pl.col("faulty"))
    rate = clustered_rate(right["item"].to_list(), right["passed"].to_list())
    return Side(rate, sum(items["num_tokens"]) / items.height)


def _change(one: pl.DataFrame, other: pl.DataFrame) -> Change:
    return pair(_passes(one), _passes(other))


def _passes(items: pl.DataFrame) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for row in items.filter(~pl.col("faulty")).sort("sample").iter_rows(named=True):
        found.setdefault(f"{row['category']} {row['item']}", []).append(row["passed"])
    return found


def _flips(one: pl.DataFrame, other: pl.DataFrame) -> list[Flip]:
    """First samples that one passed and the other did not; won ones first within a category."""
    first = [items.filter((pl.col("sample") == 0) & ~pl.col("faulty")) for items in (one, other)]
    joined = first[0].join(
        first[1], on=("category", "item"), suffix="_other", maintain_order="left"
    )
    flips = [
        Flip(
            row["category"],
            row["item"],
            row["passed_other"],
            (row["reason"], row["reason_other"]),
            (row["said"], row["said_other"]),
        )
        for row in joined.filter(pl.col("passed") != pl.col("passed_other")).iter_rows(named=True)
    ]
    order = {category: place for place, category in enumerate(dict.fromkeys(one["category"]))}
    return sorted(flips, key=lambda flip: (order[flip.category], not flip.won, flip.item))


def _from_answers(rows: pl.DataFrame) -> pl.DataFrame:
    said = [_transcript(messages) for messages in rows["messages"]]
    return rows.select(
        category=pl.when(pl.col("split") == PLAIN)
        .then("family")
        .otherwise(pl.concat_str([pl.col("family"), pl.col("split")], separator=", ")),
        item=pl.col("problem_id"),
        sample=pl.col("answer_id").str.split("/").list.last().cast(pl.Int64),
        passed="passed",
        faulty="faulty",
        reason="reason",
        num_tokens="num_tokens",
    ).with_columns(said=pl.Series(said, dtype=pl.String))


def _transcript(messages: str) -> str:
    """A dialogue as lines, for reading."""
    lines: list[str] = []
    for message in json.loads(messages):
        role, calls = message["role"], message.get("tool_calls") or ()
        lines += [f"{role}: {message['content']}"] * bool(message["content"])
        lines += [f"{role} calls {call['name']} {call['arguments']}" for call in calls]
    return "\n".join(lines)
