"""`k2 rollouts`: what the policy said while it practised, in the terminal."""

import json
from pathlib import Path
from typing import NamedTuple

import polars as pl
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from k2core.rl.browse import choose_rows, summarise
from schemas.chat import Message
from tasks.store import published_folder
from workflows.as_json import print_json
from workflows.errors import MendableError
from workflows.find import find_kind
from workflows.show import show_line, show_messages

_MESSAGES = TypeAdapter(list[Message])


class Filter(NamedTuple):
    """Which rollouts; None and empty mean all."""

    family: str | None = None
    reward: float | None = None
    reason: str | None = None
    """A part of it."""
    iteration: int | None = None
    """Counted from 1."""


def show_rollouts(target: str, wanted: Filter, count: int, *, as_json: bool = False) -> None:
    """A table by iteration and family, then some of the rollouts in whole."""
    rows = find_rollouts(target)
    found = filter_rollouts(rows, wanted)
    if found.is_empty():
        families = ", ".join(sorted(set(rows["family"])))
        reasons = ", ".join(sorted(filter(None, set(rows["reason"]))))
        raise MendableError(
            f"none of {len(rows):,} rollouts is such; families: {families}; reasons: {reasons}; "
            f"iterations 1 to {max(rows['iteration'])}"
        )
    if as_json:
        print_json(_figures(found, count))
        return
    table = Table("iteration", "rollouts", "reward", "tokens", "not passed, by reason")
    for line in summarise(found):
        table.add_row(*map(str, line))
    Console().print(table)
    for name, row in choose_rows(found, count):
        show_line(
            f"{name}: {row['rollout_id']} {row['problem_id']} reward {row['reward']:g} advantage "
            f"{row['advantage']:+.3f} {row['reason']} ({row['num_tokens']} tokens)",
            "bold",
        )
        show_messages(_MESSAGES.validate_python(json.loads(row["messages"])))


def _figures(found: pl.DataFrame, count: int) -> dict[str, object]:
    """The same for programs: of the dialogues all that was kept of them."""
    chosen = [
        {"kind": name, **row, "messages": json.loads(row["messages"])}
        for name, row in choose_rows(found, count)
    ]
    return {"iterations": [line._asdict() for line in summarise(found)], "rollouts": chosen}


def filter_rollouts(rows: pl.DataFrame, wanted: Filter) -> pl.DataFrame:
    """Those that are such."""
    if wanted.family is not None:
        rows = rows.filter(pl.col("family") == wanted.family)
    if wanted.reward is not None:
        rows = rows.filter((pl.col("reward") - wanted.reward).abs() < 1e-9)
    if wanted.reason is not None:
        rows = rows.filter(pl.col("reason").str.contains(wanted.reason, literal=True))
    if wanted.iteration is not None:
        rows = rows.filter(pl.col("iteration") == wanted.iteration)
    return rows


def find_rollouts(target: str) -> pl.DataFrame:
    """Of a run, by digest, or the newest; iterations are counted from 1."""
    return read_rollouts(
        published_folder(find_kind(target, "rollout_log", "`k2 rerun rl` makes one"))
    )


def read_rollouts(folder: Path) -> pl.DataFrame:
    """All rollouts of a log."""
    rows = pl.read_parquet(folder / "rollouts" / "*.parquet")
    return rows.with_columns(pl.col("iteration") + 1)
