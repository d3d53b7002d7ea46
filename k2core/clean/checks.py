"""A measure of every document of a batch against a threshold, and what follows from many."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.verdict import RuleVerdict
from k2core.clean.vocabulary import Ints

Floats = NDArray[np.float64]


class Check(NamedTuple):
    """One of a rule's conditions, on N documents."""

    rule: str
    reason: str
    measured_N: Floats
    threshold: float
    floor: bool = False
    """Drops what is below the threshold; otherwise what is above."""

    @property
    def fails_N(self) -> NDArray[np.bool_]:
        """Documents that break it."""
        if self.floor:
            return self.measured_N < self.threshold
        return self.measured_N > self.threshold

    @property
    def nearness_N(self) -> Floats:
        """How near a document comes to failing: beyond 1 it fails; 0 where that has no meaning."""
        above, below = self.measured_N, np.full(len(self.measured_N), float(self.threshold))
        if self.floor:
            above, below = below, above
        nearness_N: Floats = np.divide(above, below, out=np.zeros(len(below)), where=below > 0)
        return nearness_N

    def verdict(self, number: int) -> RuleVerdict:
        """The check on one document."""
        return RuleVerdict(
            self.rule, self.reason, float(self.measured_N[number]), float(self.threshold)
        )


def divide(part_N: Ints, whole_N: Ints) -> Floats:
    """Shares; nothing of nothing is 0."""
    share_N: Floats = part_N / np.maximum(1, whole_N)
    return share_N


def first_failures(checks: Sequence[Check], num: int) -> Ints:
    """For each document the number of the first check that it fails, or -1."""
    found = np.full(num, -1)
    for number, check in enumerate(checks):
        found[(found < 0) & check.fails_N] = number
    return found


def nearest(checks: Sequence[Check], num: int) -> Ints:
    """For each document the number of the check that it comes nearest to failing, or -1."""
    found, best = np.full(num, -1), np.zeros(num)
    for number, check in enumerate(checks):
        nearness = check.nearness_N
        nearer = nearness > best
        found[nearer], best[nearer] = number, nearness[nearer]
    return found


def write_measures(checks: Sequence[Check], num: int) -> list[str]:
    """Each document's measures as a JSON object: reason -> value, to five decimals."""
    if not checks:
        return ["{}"] * num
    frame = pl.DataFrame({check.reason: check.measured_N.round(5) for check in checks})
    return frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
