import math

import pytest

from schemas.optim import Schedule
from workflows.ablations.configs import LearningAblation, TrainingArm
from workflows.ablations.kept import Result
from workflows.ablations.learning import (
    Final,
    best_rates,
    draw_learning,
    final_arms,
    share_needed,
    tabulate_learning,
    tabulate_tuning,
    tuning_arms,
)

CONFIG = LearningAblation(
    sizes={"only": TrainingArm(schedule=Schedule(num_steps=100))},
    rates={"MuonClip": (1e-3, 1e-2), "AdamW": (1e-3, 1e-2)},
    tuning_frac=0.5,
    budgets=(0.5,),
    seeds=2,
)


def stored(loss: float, stopped: int | None = None) -> Result:
    return {
        "heldout": [(50, loss + 1), (100, loss)],
        "stopped": stopped,
        "parameters": 160_000,
        "seconds": 12.0,
    }


def test_both_sizes_read_equally_much() -> None:
    small, large = LearningAblation().sizes.values()
    assert small.tokens == large.tokens == 240 * 8 * 128
    assert small.shape.hidden_size < large.shape.hidden_size
    arms = tuning_arms(LearningAblation(), "large")
    assert {arm.shape for arm in arms.values()} == {large.shape}


def test_each_optimizer_is_tuned_on_a_grid_of_its_own() -> None:
    arms = tuning_arms(CONFIG, "only")
    assert len(arms) == 4
    assert {arm.schedule.num_steps for arm in arms.values()} == {50}
    assert {arm.optim.kind for arm in arms.values()} == {"MuonClip", "AdamW"}
    losses = [2.0, 1.5, 1.8, 1.2]
    results = {tried: stored(loss) for tried, loss in zip(arms, losses, strict=True)}
    assert best_rates(results) == {("only", "MuonClip"): 1e-2, ("only", "AdamW"): 1e-2}
    results[list(arms)[3]] = stored(1.2, stopped=9)
    assert best_rates(results)["only", "AdamW"] == 1e-3
    row = tabulate_tuning(results).splitlines()[-1]
    assert row == "| only | AdamW | **0.001: 1.800**, 0.01: not finite |"


def test_every_optimizer_runs_at_its_best_rate_with_a_whole_schedule() -> None:
    rates = {("only", "MuonClip"): 1e-2, ("only", "AdamW"): 1e-3}
    arms = final_arms(CONFIG, "only", rates)
    assert [(f.optimizer, f.share, f.seed) for f in arms] == [
        ("MuonClip", 0.5, 0), ("MuonClip", 0.5, 1), ("MuonClip", 1.0, 0), ("MuonClip", 1.0, 1),
        ("AdamW", 1.0, 0), ("AdamW", 1.0, 1),
    ]  # fmt: skip
    assert [arm.optim.lr for arm in arms.values()] == [1e-2] * 4 + [1e-3] * 2
    assert [arm.schedule.num_steps for arm in arms.values()] == [50, 50, 100, 100, 100, 100]


def test_tokens_to_equal_loss_lie_between_two_budgets() -> None:
    """Halfway in loss between budgets 0.25 and 1 is their geometric mean, 0.5."""
    curve = [(1.0, 1.0), (0.25, 2.0)]
    assert share_needed(curve, 1.5) == pytest.approx(0.5)
    assert share_needed(curve, 1.0) == pytest.approx(1.0)
    assert share_needed(curve, 2.5) == 0.25
    assert share_needed(curve, 0.9) is None


def test_the_table_has_loss_at_equal_tokens_and_tokens_at_equal_loss() -> None:
    rows = {
        Final("only", "MuonClip", 0.5, 0): stored(2.0),
        Final("only", "MuonClip", 0.5, 1): stored(2.2),
        Final("only", "MuonClip", 1.0, 0): stored(1.0),
        Final("only", "MuonClip", 1.0, 1): stored(1.2),
        Final("only", "AdamW", 1.0, 0): stored(1.5),
        Final("only", "AdamW", 1.0, 1): stored(1.7),
    }
    ours, theirs = tabulate_learning(CONFIG, rows).splitlines()[2:]
    assert ours == "| only, 0.16 M | MuonClip | 1.1000 ± 0.1414 |  |  | 12 |"
    share = round(100 * math.sqrt(0.5))
    assert f"| -0.5000 ± 0.0000 | {share} ± 0 % | 12 |" in theirs
    rows[Final("only", "AdamW", 1.0, 1)] = stored(1.1)
    assert "| more than all |" in tabulate_learning(CONFIG, rows)
    rows[Final("only", "AdamW", 1.0, 1)] = stored(2.5)
    assert "| at most 60 ± 15 % |" in tabulate_learning(CONFIG, rows)
    (axes,) = draw_learning(CONFIG, rows).axes
    assert axes.get_title() == "only"
