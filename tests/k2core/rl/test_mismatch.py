"""Engine against trainer, by hand."""

import math

import pytest
import torch

from k2core.agents import Dialogue, Segment
from k2core.chat import EncodedDialogue
from k2core.engines.megatron.batch import Batch
from k2core.rl.batches import build_batch, policy_rows, text_rows
from k2core.rl.mismatch import MismatchError, check_mismatch, measure_mismatch, weigh_samples
from k2core.rl.objectives.registry import load_objective
from k2core.rl.samples import Sample
from schemas.chat import Message, Problem
from schemas.objective import ObjectiveConfig
from schemas.rl import RlConfig

PROBLEM = Problem(
    problem_id="f/train/0",
    family="f",
    group="math",
    messages=(Message(role="user", content="?"),),
    verifier="integer_answer",
)
K2 = load_objective(ObjectiveConfig())
TEXTS = [EncodedDialogue([1, 2], [0, 1])]


def batch_of(*logprobs: list[float], advantage: float = 0.5) -> Batch:
    """Samples that the engine gave these log p, and a PTX row, which must not count."""
    samples = [
        Sample(
            Dialogue(
                PROBLEM,
                (),
                (Segment([1], None), Segment([2] * len(found), found)),
                {},
                "answered",
                0,
                "w",
            ),
            advantage=advantage,
        )
        for found in logprobs
    ]
    return build_batch(policy_rows(samples, len(samples), 1.0) + text_rows(TEXTS, 0.1), 0, 1)


def test_figures_by_hand() -> None:
    batch = batch_of([-1.0, -1.0], [-2.0, -2.0, -2.0])  # rows by length: PTX, two, three
    own = torch.tensor([[-9.0, 0, 0], [-1.1, -0.9, 0], [-2.0, -2.0, -1.7]])
    found = measure_mismatch(batch, own)
    assert found.mean == pytest.approx((0.1 + 0.1 + 0.3) / 5, abs=1e-6)
    assert found.largest == pytest.approx(0.3, abs=1e-6)
    assert found.sequence == pytest.approx(0.15, abs=1e-6)  # |0| and |0.3|
    one, two = 1.0, math.exp(0.3)
    assert found.effective_frac == pytest.approx((one + two) ** 2 / (2 * (one + two**2)), abs=1e-6)


def test_long_samples_overflow_no_figure() -> None:
    found = measure_mismatch(batch_of([-1.0] * 900, [-1.0] * 900), torch.zeros(3, 900))
    assert found.effective_frac == pytest.approx(1.0)
    assert math.isfinite(found.sequence)


@pytest.mark.parametrize(
    ("how", "weights"),
    [("none", [1.0, 1.0, 1.0]), ("truncate", [1.0, 0.8, 1.1]), ("mask", [1.0, 0.0, 0.0])],
)
def test_weights_are_of_the_mean_ratio_a_token(how: str, weights: list[float]) -> None:
    batch = batch_of([-1.0], [-1.0, -1.0])  # PTX, then the problem's: one token, two
    own = torch.tensor([[-5.0, 0.0], [-1.0 + math.log(0.8), 0.0], [-0.5, -0.7]])  # e^0.4 at last
    config = RlConfig.model_validate(
        {"old_logprobs": "trainer", "mismatch": how, "mismatch_limit": 1.1}
    )
    weigh_samples(batch, own, config)
    assert batch.extra["weight"].tolist() == pytest.approx(weights, abs=1e-6)


@pytest.mark.parametrize("how", ["truncate", "mask"])
def test_a_correction_that_would_see_no_mismatch_is_refused(how: str) -> None:
    with pytest.raises(ValueError, match=f'mismatch="{how}" weighs .* set old_logprobs="trainer"'):
        RlConfig.model_validate({"mismatch": how})


def test_a_bf16_mismatch_over_a_long_sample_is_refused() -> None:
    """1e-3 a token over 8,192 tokens: tau times the log ratio exceeds every advantage."""
    length = 8192
    batch = batch_of([-1.0] * length)
    own = torch.full((2, length), -1.001)
    found = measure_mismatch(batch, own)
    with pytest.raises(MismatchError, match=r'Set rl\.old_logprobs="trainer"'):
        check_mismatch(found, batch, K2, 0.5)
    check_mismatch(found._replace(sequence=1e-3), batch, K2, 0.5)
