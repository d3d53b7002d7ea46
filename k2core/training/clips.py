"""QK-Clip's evidence: every event in the checkpoint, and how many heads it touched over time."""

from pathlib import Path
from typing import NamedTuple

from k2core.training.history import StepLog


class ClippedShares(NamedTuple):
    """One entry a step, from step 1 on."""

    now: list[float]
    """Of all heads, those that this step rescaled."""
    ever: list[float]
    """Those rescaled at least once so far (K2: 12.7 %, arXiv:2507.20534, appendix D)."""


def clipped_shares(history: StepLog, num_heads: int) -> ClippedShares:
    """Shares of heads over steps.

    Args:
        history: a training run.
        num_heads: heads of all layers together.
    """
    by_step: dict[int, set[tuple[float, float]]] = {}
    for event in history.clips:
        by_step.setdefault(int(event["step"]), set()).add((event["layer"], event["head"]))
    seen: set[tuple[float, float]] = set()
    now, ever = [], []
    for step in range(1, history.num_steps + 1):
        clipped = by_step.get(step, set())
        seen |= clipped
        now.append(len(clipped) / num_heads)
        ever.append(len(seen) / num_heads)
    return ClippedShares(now, ever)


def write_clips(history: StepLog, stage: str, folder: Path) -> None:
    """Write `qk_clips-STAGE.parquet`: step, layer, head, max_logit, factor; one row an event.

    A later stage copies an earlier one's file with the tokenizer's, so a checkpoint tells them all.
    """
    import polars as pl

    columns = {
        "step": pl.Int64,
        "layer": pl.Int64,
        "head": pl.Int64,
        "max_logit": pl.Float64,
        "factor": pl.Float64,
    }
    pl.DataFrame(history.clips, schema=columns).write_parquet(folder / f"qk_clips-{stage}.parquet")
