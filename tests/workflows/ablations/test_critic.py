"""The critic's ablation: its tables and curves from kept results, by hand-computed numbers."""

import pytest

from workflows.ablations.configs import CriticAblation
from workflows.ablations.critic import draw, late_means, tabulate
from workflows.ablations.kept import Result


def result(agreement: float) -> Result:
    """Four iterations: the later two have 10 and 30 pairs."""
    rows = [
        {"pairs": 10.0 + 20.0 * (number == 3), "agreement": value, "frozen_agreement": 0.4,
         "order_bias": 0.2, "frozen_order_bias": 0.6, "guarded_frac": 0.25}
        for number, value in enumerate([0.4, 0.5, agreement, agreement + 0.2])
    ]  # fmt: skip
    return {
        "critic": [*rows[:2], *rows[2:]],
        "reward": [0.1] * 4,
        "validation": [{"rate": 0.5}, {"rate": 0.6}],
    }


def test_the_later_half_is_weighted_by_pairs() -> None:
    late = late_means(result(0.6))
    assert late["agreement"] == pytest.approx((10 * 0.6 + 30 * 0.8) / 40)
    assert late["guarded_frac"] == 0.25


def test_an_iteration_without_pairs_is_left_out() -> None:
    kept = result(0.6)
    kept["critic"][2] = {"pairs": 0.0}
    assert late_means(kept)["agreement"] == pytest.approx(0.8)


def test_the_table_and_the_curves() -> None:
    results = [result(0.6), result(0.7)]
    table = tabulate(results)
    assert "| agreement, later half, refreshed | 0.750 | 0.850 | 0.800 ± 0.071 |" in table
    assert "| agreement, later half, as it began | 0.400 | 0.400 | 0.400 ± 0.000 |" in table
    assert "| groups dropped by decoys | 0.250 | 0.250 |" in table
    assert "Refreshed against frozen, later half: +0.4000" in table
    assert len(draw(results).axes[0].lines) == 2 * 2 + 2 + 1


def test_the_frozen_critic_is_asked_at_each_iteration() -> None:
    critic = CriticAblation().rl.critic
    assert critic
    assert critic.frozen_every == 1
    assert critic.refresh_weight > 0
