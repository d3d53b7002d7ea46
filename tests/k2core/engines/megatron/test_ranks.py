"""Two ranks are one model: they take the steps of one process, and its states, and it theirs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from k2core.engines.learner import below
from k2core.engines.megatron.batch import StepStats
from k2core.engines.megatron.trainer import Trainer
from k2core.engines.torchrun import run_ranks
from tests.k2core.engines.megatron import rank_checks
from tests.k2core.engines.megatron.rank_checks import OPTIM, SHAPE, TWO, Course, make_batch, take

Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checks write; one process's state is there before two ranks read it."""
    place = tmp_path_factory.mktemp("ranks")
    trainer = Trainer(SHAPE, OPTIM, seed=0)
    take(trainer, 0, 5)
    for name in ("matrix", "flat"):
        trainer.save(below(place / name / "one"))
    return place


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    return run_ranks(rank_checks.run_checks, folder, placement=TWO)


def assert_close(ours: StepStats, theirs: StepStats) -> None:
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
    assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
    assert ours.max_logits == pytest.approx(theirs.max_logits, abs=1e-5)
    assert [event[:2] for event in ours.clips] == [event[:2] for event in theirs.clips]
    assert ours.tokens == theirs.tokens
    assert ours.metrics == pytest.approx(theirs.metrics)


@pytest.mark.parametrize(
    # AdamW divides by its epsilon where a rare token's gradient is as small.
    ("name", "bound"),
    [("spread", 1e-5), ("shared", 5e-5), ("words", 5e-5)],
)
def test_two_ranks_equal_one_process(found: Found, name: str, bound: float, tmp_path: Path) -> None:
    """Rows dealt to them or shared, or the model: equal losses, clips, weights and logprobs."""
    ours: Course = found[name]["course"]
    theirs: Any = rank_checks.alone(name, tmp_path)["course"]
    for mine, reference in zip(ours.steps, theirs.steps, strict=True):
        assert_close(mine, reference)
    assert sum(len(step.clips) for step in ours.steps) > 3
    for key, weight in theirs.weights.items():
        torch.testing.assert_close(ours.weights[key], weight, rtol=0, atol=bound)
    torch.testing.assert_close(ours.logprobs, theirs.logprobs, atol=1e-4, rtol=0)


def test_a_state_goes_on_bitwise_on_two_ranks_and_closely_on_one(
    found: Found, folder: Path
) -> None:
    """One row for two ranks: the first has nothing to do, yet takes part."""
    assert found["spread"]["resumed"]
    resharded = Trainer(SHAPE, rank_checks.CONFIG, seed=7)
    resharded.load((folder / "spread" / "state").joinpath)
    assert resharded.num_steps == 4
    assert_close(resharded.step(make_batch(4, rows=1), 2e-3), found["spread"]["last"][0])


@pytest.mark.parametrize("zero", ["matrix", "flat"])
def test_a_killed_run_goes_on_with_other_numbers_of_ranks(
    found: Found, folder: Path, zero: str
) -> None:
    whole, others = Trainer(SHAPE, OPTIM, seed=0), Trainer(SHAPE, OPTIM, seed=1)
    head, tail = take(whole, 0, 5), take(whole, 5, 10)
    others.load((folder / zero / "two").joinpath)
    for course in (found[zero]["from_one"], take(others, 5, 10)):
        losses = [step.loss for step in course.steps]
        assert losses == pytest.approx([step.loss for step in tail.steps], abs=1e-6)
        for name, weight in tail.weights.items():
            torch.testing.assert_close(course.weights[name], weight, rtol=0, atol=1e-6, msg=name)
    moved = (tail.weights["lm_head.weight"] - head.weights["lm_head.weight"]).abs().max()
    assert moved > 1e-3  # the bound above is about something


def test_a_refused_step_leaves_no_trace(found: Found) -> None:
    """Weights, moments, router biases and logits: as if the batch had never been."""
    assert found["refuse"]["calm"] == found["refuse"]["refused"]
    assert found["refuse"]["calm"][0].taken
    assert found["refuse"]["refused taken"] == [False, False]


def test_ranks_hold_equal_weights_and_read_their_own_state(found: Found) -> None:
    for name, check in rank_checks.CHECKS.items():
        assert len(found[name]["digests"]) == 2
        assert len(set(found[name]["digests"])) == check.placement.tp
        assert found[name]["files"] == [[f"rank-0000{rank}.safetensors"] for rank in range(2)]


def test_what_a_rank_starts_is_no_rank(found: Found) -> None:
    assert found["ranks"]["launched"] == []
