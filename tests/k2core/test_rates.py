"""Intervals: against Wilson's published values, and what they must be at the ends."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.rates import clustered_rate, pool, rate_of


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [  # Newcombe (Stat. Med. 17, 1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(passed: int, total: int, low: float, high: float) -> None:
    found = rate_of(passed, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_rate(counts: tuple[int, int]) -> None:
    passed, total = counts
    found = rate_of(passed, total)
    assert 0 <= found.low <= found.rate <= found.high <= 1
    mirrored = rate_of(total - passed, total)
    if total:
        assert mirrored.low == pytest.approx(1 - found.high)


def test_nothing_asked_says_nothing() -> None:
    assert (rate_of(0, 0).low, rate_of(0, 0).high) == (0.0, 1.0)


def test_more_passed_than_asked_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        rate_of(3, 2)


def test_pooling_adds_up() -> None:
    assert pool([rate_of(1, 4), rate_of(9, 10)]) == rate_of(10, 14)


def test_one_sample_a_problem_is_wilsons() -> None:
    assert clustered_rate(["a", "b", "c"], [True, False, True]) == rate_of(2, 3)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_equal_samples_say_no_more_than_one(share: float) -> None:
    passed = [n < 100 * share for n in range(100)]
    found = clustered_rate([str(n) for n in range(100) for _ in range(8)], _each(passed, 8))
    one = rate_of(sum(passed), 100)
    assert (found.low, found.high) == pytest.approx((one.low, one.high), abs=2e-3)


@pytest.mark.parametrize("samples", [4, 16])
def test_the_interval_covers_the_truth_whatever_the_samples(samples: int) -> None:
    """Difficulties Beta(.25, .25), 100 problems: pooled samples cover in 75 and 45 of 100."""
    draw, covered = random.Random(samples), 0
    for _ in range(400):
        hard = [draw.betavariate(0.25, 0.25) for _ in range(100)]
        passed = [draw.random() < p for p in hard for _ in range(samples)]
        found = clustered_rate([str(n) for n in range(100) for _ in range(samples)], passed)
        covered += found.low <= 0.5 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def _each(values: list[bool], times: int) -> list[bool]:
    return [value for value in values for _ in range(times)]
