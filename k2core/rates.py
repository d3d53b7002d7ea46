"""Shares with confidence intervals."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from schemas.evaluate import Rate

_Z = 1.959963984540054
"""Quantile of the normal distribution for 95 %, two-sided."""


def rate_of(passed: int, total: int) -> Rate:
    """The share and its Wilson score interval (J. Am. Stat. Assoc. 22, 1927, p. 209).

    Unlike the normal approximation it stays within [0, 1], and is not empty at 0 or at 1.
    """
    if not 0 <= passed <= total:
        raise ValueError(f"{passed} of {total} is no share")
    return _wilson(passed, total, total)


def clustered_rate(clusters: Sequence[str], passed: Sequence[bool]) -> Rate:
    """The share of samples that passed, its interval clustered by problem.

    Samples of one problem say less than as many problems: Wilson's interval is taken of the
    effective number of samples, total / deff, where deff is the variance of the mean clustered by
    problem over that of independent samples (Korn and Graubard, Surv. Methodol. 24, 1998, p. 193).
    One sample a problem gives `rate_of`; equal samples give that of one a problem.

    Args:
        clusters: the problem of each sample.
        passed: whether it passed.
    """
    by_cluster: dict[str, list[bool]] = defaultdict(list)
    for cluster, one in zip(clusters, passed, strict=True):
        by_cluster[cluster].append(one)
    count, total = sum(passed), len(passed)
    if len(by_cluster) == total:
        return rate_of(count, total)
    share = count / total
    if len(by_cluster) == 1 or share in (0.0, 1.0):
        return _wilson(count, total, len(by_cluster))
    num = len(by_cluster)
    off = math.fsum((sum(one) - share * len(one)) ** 2 for one in by_cluster.values())
    clustered = off / total**2 * num / (num - 1)
    independent = share * (1 - share) / (total - 1)
    return _wilson(count, total, min(total, max(1.0, total * independent / clustered)))


def _wilson(passed: int, total: int, effective: float) -> Rate:
    """The share with the interval of `effective` independent samples."""
    if total == 0:
        return Rate(passed=0, total=0, rate=0.0, low=0.0, high=1.0)
    share, squared = passed / total, _Z * _Z
    center = (share + squared / (2 * effective)) / (1 + squared / effective)
    spread = math.sqrt(share * (1 - share) / effective + squared / (4 * effective * effective))
    half = _Z * spread / (1 + squared / effective)
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
