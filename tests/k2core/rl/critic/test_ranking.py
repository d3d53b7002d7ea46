"""Comparisons and win rates against hand-computed numbers."""

import math
import random
from collections import Counter

import pytest

from k2core.rl.critic.ranking import Bout, ComparisonEnding, Earning, decide, draw_bouts, win_rates


@pytest.mark.parametrize(
    ("first", "second", "margin", "expected"),
    [
        (0.9, 0.8, 0.0, Earning(1.0, ComparisonEnding.DECIDED)),
        (0.1, 0.2, 0.0, Earning(0.0, ComparisonEnding.DECIDED)),
        (
            0.9,
            0.2,
            0.0,
            Earning(0.5, ComparisonEnding.DISAGREEMENT),
        ),  # whatever stands first is preferred
        (0.1, 0.8, 0.0, Earning(0.5, ComparisonEnding.DISAGREEMENT)),
        (0.5, 0.8, 0.0, Earning(0.5, ComparisonEnding.TIE)),
        (0.55, 0.8, 0.1, Earning(0.5, ComparisonEnding.TIE)),
        (0.65, 0.8, 0.1, Earning(1.0, ComparisonEnding.DECIDED)),
        (None, 0.8, 0.0, Earning(0.5, ComparisonEnding.SILENT)),
        (0.8, None, 0.0, Earning(0.5, ComparisonEnding.SILENT)),
        (math.nan, 0.8, 0.0, Earning(0.5, ComparisonEnding.SILENT)),
        (math.inf, 0.8, 0.0, Earning(0.5, ComparisonEnding.SILENT)),
    ],
)
def test_both_orders_decide(
    first: float | None, second: float | None, margin: float, expected: Earning
) -> None:
    assert decide(first, second, margin) == expected


def test_win_rates_by_hand() -> None:
    won, lost, tie = (Earning(c, ComparisonEnding.DECIDED) for c in (1.0, 0.0, 0.5))
    bouts = [Bout(0, 1), Bout(1, 2), Bout(2, 0), Bout(3, 0)]
    # 0 beats 1, 1 beats 2, 2 and 0 tie, 3 loses to 0: 0 has 1 + 1/2 + 1 of 3.
    rates = win_rates(5, bouts, [won, won, tie, lost])
    assert rates == pytest.approx([2.5 / 3, 0.5, 0.25, 0.0, 0.5])


@pytest.mark.parametrize("num", range(2, 17))
@pytest.mark.parametrize("most", [1, 20, 64, 999])
def test_comparisons_are_bounded_different_and_as_many_of_each(num: int, most: int) -> None:
    bouts = draw_bouts(num, most, random.Random(0))
    assert len(bouts) <= max(most, num)
    assert len({frozenset(bout) for bout in bouts}) == len(bouts)
    met = Counter(place for bout in bouts for place in bout)
    assert set(met) == set(range(num))
    assert len(set(met.values())) == 1
    if most == 999:
        assert len(bouts) == num * (num - 1) // 2
