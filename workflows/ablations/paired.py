"""Differences between arms of equal seeds, and how sure they are."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
"""Student's t, two-sided 95 %, by degrees of freedom from 1 on."""


class Interval(NamedTuple):
    """A mean and the half-width of its 95 % interval."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.half_width:.4f}"


def mean_difference(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Mean of ours - theirs, seed by seed, with Student's interval (paired).

    Raises:
        ValueError: fewer than two pairs, or sides of unequal length.
    """
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if len(differences) < 2:
        raise ValueError(f"{len(differences)} seeds: an interval needs at least two")
    free = min(len(differences) - 1, len(_T_975))
    spread = statistics.stdev(differences) / math.sqrt(len(differences))
    return Interval(statistics.mean(differences), _T_975[free - 1] * spread)


def mean_and_spread(values: Sequence[float], digits: int = 3) -> str:
    """Such as `1.234 ± 0.056`: mean and standard deviation over seeds."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}"
