"""Tokens: what a dialogue may take, and what long ones cost (arXiv:2507.20534, section 3.2.3).

A family's budget is given, or learned from what its passed samples took. A step is not
spent where most of its samples would be cut off: their answers are never seen.
"""

import math
from collections.abc import Mapping, Sequence

from k2core.rl.priority import RewardTally, Successes
from schemas.chat import Problem
from schemas.rl import RlConfig

_FEWEST = 32
"""Samples of a family, below which nothing is learned or predicted of it."""


class TruncationError(RuntimeError):
    """Too many samples of the next step would be cut off; says which, and what to do."""


def length_weight(config: RlConfig, index: int) -> float:
    """Of the length reward: nothing in the first phase."""
    return config.length_weight if index >= config.length_after else 0.0


def learned_budgets(seen: Successes, config: RlConfig, index: int) -> dict[str, int]:
    """Family -> tokens that `budget_quantile` of its passed samples needed, times `budget_slack`.

    Nothing in the first phase, and of families with few passed samples.
    """
    quantile, slack = config.budget_quantile, config.budget_slack
    if quantile is None or index < config.length_after:
        return {}
    budgets = {}
    for family, tally in seen.families.items():
        if len(tally.lengths) >= _FEWEST:
            ranked = sorted(tally.lengths)
            needed = ranked[min(len(ranked) - 1, math.ceil(quantile * len(ranked)) - 1)]
            budgets[family] = max(1, math.ceil(slack * needed))
    return budgets


def with_budgets(problems: Sequence[Problem], budgets: Mapping[str, int]) -> list[Problem]:
    """Each problem with its family's learned budget, where that is tighter than its own."""
    return [
        p.model_copy(update={"max_tokens": min(p.max_tokens, budgets[p.family])})
        if p.family in budgets
        else p
        for p in problems
    ]


def check_truncation(
    problems: Sequence[Problem], seen: Successes, budgets: Mapping[str, int], limit: float
) -> float:
    """Predict the share of the step's samples whose tokens will run out.

    By their families' last samples: those that were cut off, and those that passed with more tokens
    than the budgets of this step leave.

    Returns:
        The share among problems of families that something is known of; 0 where nothing is.

    Raises:
        TruncationError: it is above the limit.
    """
    shares = {
        name: _truncated(tally, budgets.get(name))
        for name, tally in seen.families.items()
        if len(tally.truncated) >= _FEWEST
    }
    asked = [p.family for p in problems if p.family in shares]
    if not asked:
        return 0.0
    predicted = sum(shares[family] for family in asked) / len(asked)
    if predicted > limit:
        worst = sorted(set(asked), key=lambda family: (-shares[family], family))[:3]
        said = ", ".join(f"{family} {shares[family]:.0%}" for family in worst)
        raise TruncationError(
            f"{predicted:.0%} of the next step's samples would be cut off, more than "
            f"rl.max_truncated_frac={limit:g} allows (most: {said}). The run pauses: with a higher "
            "limit it goes on from here; with other rl.token_budgets it begins anew"
        )
    return predicted


def _truncated(tally: RewardTally, budget: int | None) -> float:
    cut_off = sum(tally.truncated) / len(tally.truncated)
    if budget is None or not tally.lengths:
        return cut_off
    return max(cut_off, sum(length > budget for length in tally.lengths) / len(tally.lengths))
