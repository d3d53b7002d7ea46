"""Shares with confidence intervals."""

import math
from collections.abc import Iterable

from schemas.evaluate import Rate

_Z = 1.959963984540054
"""Quantile of the normal distribution for 95 %, two-sided."""


def rate_of(passed: int, total: int) -> Rate:
    """The share and its Wilson score interval (J. Am. Stat. Assoc. 22, 1927, p. 209).

    Unlike the normal approximation it stays within [0, 1], and is not empty at 0 or at 1.
    """
    if not 0 <= passed <= total:
        raise ValueError(f"{passed} of {total} is no share")
    if total == 0:
        return Rate(passed=0, total=0, rate=0.0, low=0.0, high=1.0)
    share, squared = passed / total, _Z * _Z
    center = (share + squared / (2 * total)) / (1 + squared / total)
    spread = math.sqrt(share * (1 - share) / total + squared / (4 * total * total))
    half = _Z * spread / (1 + squared / total)
    return Rate(
        passed=passed,
        total=total,
        rate=share,
        low=max(0.0, center - half) if passed else 0.0,
        high=min(1.0, center + half) if passed < total else 1.0,
    )


def pool(rates: Iterable[Rate]) -> Rate:
    """One share over several."""
    found = list(rates)
    return rate_of(sum(r.passed for r in found), sum(r.total for r in found))
