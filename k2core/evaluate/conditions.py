"""What a condition changed: the same problems under it and asked plainly, paired."""

from collections.abc import Mapping
from typing import get_args

import polars as pl

from k2core.paired import pair
from k2core.problems import plain_name
from k2core.rates import clustered_rate, rate_of
from schemas.evaluate import Rate, VariantScore
from schemas.problems import Variant

PLAIN = "held_out"
_CUT_OFF = ("turn_limit", "token_budget", "context")


def score_variants(answers: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, VariantScore]]:
    """Condition -> checkpoint -> score; of conditions that something was asked under.

    Args:
        answers: checkpoint -> its `AnswerRow`s.
    """
    found: dict[str, dict[str, VariantScore]] = {}
    for variant in get_args(Variant):
        for name, rows in answers.items():
            varied = rows.filter(pl.col("split") == variant)
            if len(varied):
                found.setdefault(variant, {})[name] = _score(rows, varied)
    return found


def valid_calls(rows: pl.DataFrame) -> Rate:
    """Valid calls of all calls."""
    return rate_of(int(rows["num_valid_calls"].sum()), int(rows["num_calls"].sum()))


def cut_off(rows: pl.DataFrame) -> Rate:
    """Answers that turns, tokens or context cut off."""
    cut = rows["stop_reason"].is_in(_CUT_OFF).to_list()
    return clustered_rate(rows["problem_id"].to_list(), cut)


def passes(rows: pl.DataFrame) -> dict[str, list[bool]]:
    """Problem -> whether each sample passed, in the order of the samples; faulty ones left out."""
    found: dict[str, list[bool]] = {}
    for row in rows.filter(~pl.col("faulty")).iter_rows(named=True):
        found.setdefault(row["problem_id"], []).append(row["passed"])
    return found


def _score(rows: pl.DataFrame, varied: pl.DataFrame) -> VariantScore:
    names = [plain_name(problem_id) for problem_id in varied["problem_id"]]
    varied = varied.with_columns(problem_id=pl.Series(names))
    plain = rows.filter((pl.col("split") == PLAIN) & pl.col("problem_id").is_in(names))
    change = pair(passes(plain), passes(varied))
    return VariantScore(
        rate=_rate(varied),
        plain=_rate(plain),
        change=change.model_copy(update={"p_corrected": change.p_value}),
        tool_calls=valid_calls(varied),
        plain_tool_calls=valid_calls(plain),
    )


def _rate(rows: pl.DataFrame) -> Rate:
    kept = rows.filter(~pl.col("faulty"))
    return clustered_rate(kept["problem_id"].to_list(), kept["passed"].to_list())
