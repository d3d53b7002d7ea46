"""Intervals: against Wilson's published values, and what they must be at the ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.rates import pool, rate_of


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
