"""Pairwise comparisons in both orders, and win rates of them.

The report ranks by pairs and does not say how a rank becomes a reward. The win rate is this
project's choice: a won comparison counts 1, a tie 1/2, a lost one 0, and the reward is their mean.
"""

import math
import random
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Bout(NamedTuple):
    """Two answers, by their places, that are compared."""

    one: int
    other: int


class ComparisonEnding(Enum):
    """How a comparison ended."""

    DECIDED = "decided"
    TIE = "tie"
    """In some order neither was preferred by the margin."""
    DISAGREEMENT = "disagreement"
    """Each order preferred another: the place decided, not the answer."""
    SILENT = "silent"
    """In some order the critic said nothing that could be read."""


class Earning(NamedTuple):
    """What a comparison earns the one; the other earns the rest of 1."""

    credit: float
    kind: ComparisonEnding


def draw_bouts(num_answers: int, most: int, rng: random.Random) -> list[Bout]:
    """Every pair, or as many as allowed with the same number for each answer.

    Answers stand in a circle, in an order that is drawn; each meets those up to some distance
    away. A circle of one distance is drawn whatever is allowed.

    Args:
        num_answers: to be compared.
        most: comparisons at most.
        rng: draws the circle.
    """
    circle = rng.sample(range(num_answers), num_answers)
    bouts = list[Bout]()
    for distance in range(1, num_answers // 2 + 1):
        halves = 2 * distance == num_answers  # across the circle each pair would come twice
        ring = [
            Bout(circle[place], circle[(place + distance) % num_answers])
            for place in range(num_answers // 2 if halves else num_answers)
        ]
        if bouts and len(bouts) + len(ring) > most:
            break
        bouts += ring
    return bouts


def decide(shown_first: float | None, shown_second: float | None, margin: float) -> Earning:
    """One comparison of both orders.

    Args:
        shown_first: P(the one is better) where it is shown first; None if nothing was said.
        shown_second: the same where it is shown second.
        margin: least distance from one half.
    """
    if shown_first is None or shown_second is None:
        return Earning(0.5, ComparisonEnding.SILENT)
    leanings = shown_first - 0.5, shown_second - 0.5
    if not all(map(math.isfinite, leanings)):
        return Earning(0.5, ComparisonEnding.SILENT)
    if any(abs(leaning) <= margin for leaning in leanings):
        return Earning(0.5, ComparisonEnding.TIE)
    if leanings[0] * leanings[1] < 0:
        return Earning(0.5, ComparisonEnding.DISAGREEMENT)
    return Earning(float(leanings[0] > 0), ComparisonEnding.DECIDED)


def win_rates(num_answers: int, bouts: Sequence[Bout], decisions: Sequence[Earning]) -> list[float]:
    """Mean credit of each answer over its comparisons; one half of none."""
    credits_: list[list[float]] = [[] for _ in range(num_answers)]
    for bout, decision in zip(bouts, decisions, strict=True):
        credits_[bout.one].append(decision.credit)
        credits_[bout.other].append(1.0 - decision.credit)
    return [sum(earned) / len(earned) if earned else 0.5 for earned in credits_]
