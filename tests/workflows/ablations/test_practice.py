"""RL's ablation: its arms, and its table from kept results, by hand-computed numbers."""

import pytest

from workflows.ablations.configs import PracticeAblation
from workflows.ablations.kept import Result
from workflows.ablations.practice import draw, draw_arms, reward_at, tabulate


def result(tokens: list[float], reward: list[float]) -> Result:
    return {
        "reward": reward,
        "length": [10.0] * len(reward),
        "over_budget": [0.25] * len(reward),
        "stale": [0.0] * len(reward),
        "tokens": tokens,
        "validation": [0.5, 0.6],
    }


def test_arms_differ_in_what_they_say() -> None:
    config = PracticeAblation(seeds=2)
    arms = draw_arms(config)
    assert [rl.seed for rl in arms["GSPO"]] == [0, 1]
    assert {rl.objective.kind for rl in arms["GSPO"]} == {"GSPO"}
    same = {"objective", "seed"}
    assert arms["GSPO"][0].model_dump(exclude=same) == arms["K2"][0].model_dump(exclude=same)
    assert arms["K2, partial"][1].iteration_tokens
    assert arms["K2, budgets"][0].length_weight > 0


def test_rewards_are_compared_at_equal_tokens() -> None:
    quick = result([100, 100, 100], [0.0, 0.2, 0.6])
    assert reward_at(quick, 300, late=2) == pytest.approx(0.4)
    assert reward_at(quick, 299, late=2) == pytest.approx(0.1)


def test_the_table_holds_each_arm_against_the_first_seed_by_seed() -> None:
    config = PracticeAblation(seeds=2, late=1)
    results = {
        "K2": [result([100, 100], [0.1, 0.2]), result([100, 100], [0.1, 0.4])],
        "GRPO": [result([90, 110], [0.1, 0.3]), result([90, 150], [0.5, 0.9])],
    }
    table = tabulate(config, results)
    assert "reward at 200 tokens" in table
    assert "| K2 | 0.300 ± 0.141 |  | 0.500 ± 0.000 | 0.600 ± 0.000 | 10.0 ± 0.0 |" in table
    assert "| GRPO | 0.400 ± 0.141 | +0.1000 ± 0.0000 |" in table
    assert len(draw(results).axes[0].lines) == 2 * (2 + 1)
