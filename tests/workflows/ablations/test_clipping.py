"""Tables and plots from stored results; how arms come about is in test_arms.py."""

import numpy as np
import pytest

from workflows.ablations.clipping import (
    PLAIN,
    draw_losses,
    draw_stability,
    final_loss,
    harmlessness_arms,
    tabulate_losses,
    tabulate_stability,
)
from workflows.ablations.configs import NEVER, HarmlessnessAblation, StabilityAblation
from workflows.ablations.kept import Result


def stored(loss: float, logits: list[float], clipped: list[list[int]]) -> Result:
    return {
        "losses": [loss + 1, loss],
        "max_logits": [[logit / 2, logit] for logit in logits],
        "clipped": clipped,
        "heldout": [(1, loss + 1), (2, loss)],
        "stopped": None,
        "parameters": 1000,
        "seconds": 1.0,
    }


def test_stability_tells_how_far_logits_went() -> None:
    config = StabilityAblation(tau=10.0, seeds=1)
    diverged = stored(3.0, [2.0, 2000.0], [[], []]) | {"stopped": 3}
    held = stored(2.0, [2.0, 12.0], [[], [0, 9]])
    results = {PLAIN: [diverged], "MuonClip": [held]}
    rows = tabulate_stability(config, results).splitlines()[2:]
    assert rows == [
        "| plain Muon | 0 | 2,000 | 200.00 | 200.00 tau | 1 of 2 | 0 of 16 | 3.000 "
        "| not finite at step 3 |",
        "| MuonClip | 0 | 12 | 1.20 | 1.20 tau | 0 of 2 | 2 of 16 | 2.000 | 2.000 |",
        "",
        "No difference of MuonClip and plain Muon: not every arm came to its end.",
    ]
    logits, loss = draw_stability(config, results).axes
    assert [np.asarray(line.get_ydata())[-1] for line in logits.lines[:4]] == [1000, 2000, 6, 12]
    assert loss.get_ylabel().startswith("loss")


def test_stability_compares_the_ends() -> None:
    ends = {PLAIN: (3.0, 3.5), "MuonClip": (2.5, 3.0)}
    results = {name: [stored(loss, [1.0], [[]]) for loss in some] for name, some in ends.items()}
    said = tabulate_stability(StabilityAblation(), results).splitlines()[-1]
    assert said == "MuonClip against plain Muon, held-out loss at the end: -0.5000 ± 0.0000."


def test_losses_are_compared_seed_by_seed() -> None:
    results = {
        PLAIN: [stored(2.0, [40.0], [[]]), stored(3.0, [60.0], [[]])],
        "tau 4": [stored(2.1, [4.5], [[1, 2]]), stored(3.1, [5.5], [[1, 2, 3, 4]])],
    }
    rows = tabulate_losses(results, num_heads=16).splitlines()[2:]
    assert rows[0].endswith("| 2.5000 ± 0.7071 |  |")
    assert rows[1] == ("| tau 4 | 5.0 | 3.00 | 3.0 of 16 | 2.6000 ± 0.7071 | +0.1000 ± 0.0000 |")
    dots = np.asarray(draw_losses(results).axes[1].lines[0].get_ydata())
    assert dots.tolist() == pytest.approx([0.1, 0.1])


def test_an_arm_that_failed_has_no_final_loss() -> None:
    with pytest.raises(ValueError, match="step 7"):
        final_loss(stored(2.0, [1.0], []) | {"stopped": 7})


def test_low_thresholds_are_tried_on_equal_seeds() -> None:
    arms = harmlessness_arms(HarmlessnessAblation(taus=(6.0, 3.0), seeds=2))
    assert [[arm.optim.qk_clip_tau for arm in some] for some in arms.values()] == [
        [NEVER, NEVER], [6.0, 6.0], [3.0, 3.0],
    ]  # fmt: skip
    assert all([arm.seed for arm in some] == [0, 1] for some in arms.values())
