"""Steps that are refused: which, what is said of them, and that they leave no trace."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k2core.engines.learner import Writing
from k2core.engines.megatron.batch import StepStats
from k2core.engines.torchrun import Ranks
from k2core.store import Store
from k2core.training import BatchDocument, Course, StepLog, train
from k2core.training.guard import find_max_loss, must_stop, spread_before
from schemas.optim import Guards, OptimConfig


def stats(loss: float, *, taken: bool = True) -> StepStats:
    return StepStats(loss, 1.0, [0.5, math.nan], [], 10, {}, {"grad_norm/norms": 1.0}, taken)


class Losses:
    """A trainer whose losses are given; refuses as the real one does."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses

    def step(
        self, batch: Any, lr: float, objective: object = None, max_loss: float | None = None
    ) -> StepStats:
        assert max_loss is not None
        loss = self.losses[batch]
        return stats(loss, taken=math.isfinite(loss) and loss <= max_loss)

    def snapshot(self) -> "Losses":
        return self

    def write(self, writing: Writing) -> None:
        with writing("losses") as path:
            path.write_text("all")

    def load(self, fetch: Callable[[str], Path]) -> None:
        raise AssertionError("nothing to resume from")


Run = Callable[..., StepLog]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def start(losses: list[float], guards: Guards) -> StepLog:
        course = Course(
            optim=OptimConfig(),
            num_steps=len(losses),
            lr=lambda _step: 1e-3,
            num_heads=2,
            checkpoint_every=10,
            states_kept=2,
            guards=guards,
            batch=lambda step: step,  # type: ignore[arg-type, return-value]
            documents=lambda step: [BatchDocument(0, f"web/doc{step}-{i}", 3, 5) for i in range(9)],
        )
        workspace = Store(tmp_path).workspace("run")
        return train(Losses(losses), course, workspace, Ranks(0, 1, 0, None))

    return start


CALM = [5.0 + 0.1 * (-1) ** i for i in range(12)]
LOG, SKIP = Guards(window=8, spike="log"), Guards(window=8, spike="skip", nonfinite="skip")


def test_a_spike_is_so_many_deviations_above_the_losses_before() -> None:
    history, guards = StepLog(), Guards(window=8, spike_z=4)
    for loss in CALM[:7]:
        history.add(stats(loss))
    assert spread_before(history, 8) is None
    assert find_max_loss(None, guards) == math.inf
    history.add(stats(CALM[7]))
    spread = spread_before(history, 8)
    assert spread is not None
    deviation = math.sqrt(8 * 0.1**2 / 7)
    assert find_max_loss(spread, guards) == pytest.approx(5 + 4 * deviation)
    assert spread.z(5 + 2 * deviation) == pytest.approx(2)
    assert find_max_loss(spread, Guards(window=8, spike="log")) == math.inf
    history.add(stats(50.0, taken=False), 5.4)
    assert spread_before(history, 8) == spread  # a refused loss is no yardstick


def test_losses_without_ripple_allow_one_percent() -> None:
    history = StepLog()
    for _ in range(8):
        history.add(stats(2.0))
    assert find_max_loss(spread_before(history, 8), Guards(spike_z=10)) == pytest.approx(2.2)


@pytest.mark.parametrize("bad", [9.0, math.nan, math.inf])
def test_a_bad_step_stops_and_names_its_documents_and_the_last_state(
    run: Run, tmp_path: Path, bad: float
) -> None:
    with pytest.raises(FloatingPointError) as caught:
        run([*CALM, bad, 5.0], Guards(window=8))
    said = str(caught.value)
    assert said.startswith("step 13 of 14: loss ")
    assert ("spike" in said) == (bad == 9.0)
    assert "web/doc12-0, " in said
    assert "web/doc12-7 and 1 more; all are listed in" in said
    assert "The last good state is step-00000010" in said
    refused = tmp_path / "work" / "run" / "scratch" / "refused"
    listed = json.loads((refused / "step-00000013.json").read_text())
    assert listed["step"] == 13
    assert listed["documents"][8] == {"row": 0, "name": "web/doc12-8", "start": 3, "length": 5}


def test_without_a_state_the_error_says_so(run: Run) -> None:
    with pytest.raises(FloatingPointError, match=r"step 2 of 2: loss nan.*No state was saved"):
        run([5.0, math.nan], Guards())


def test_skipped_batches_are_listed_and_leave_averages_alone(run: Run, tmp_path: Path) -> None:
    history = run([*CALM, math.nan, 9.0, *CALM], SKIP)
    assert [entry["step"] for entry in history.refused] == [13, 14]
    assert history.tokens == 24 * 10
    assert history.last_losses(12) == CALM
    summary = history.summarize()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["refused_steps"] == 2
    assert len(list((tmp_path / "work" / "run" / "scratch" / "refused").iterdir())) == 2


def test_skipping_ends_when_it_becomes_a_habit(run: Run) -> None:
    with pytest.raises(FloatingPointError, match="step 16 of 16"):
        run([*CALM, *[9.0] * 4], SKIP)


def test_now_and_then_is_no_habit(run: Run) -> None:
    spaced = [loss for _ in range(5) for loss in (*CALM, 9.0)]
    assert len(run(spaced, SKIP).refused) == 5


def test_logging_takes_a_spike_and_refuses_what_is_not_finite(run: Run) -> None:
    with pytest.raises(FloatingPointError, match="step 14 of 14: loss inf"):
        run([*CALM, 9.0, math.inf], LOG)


def test_a_gradient_that_is_not_finite_follows_nonfinite() -> None:
    history = StepLog()
    history.add(stats(5.0, taken=False))  # loss sound, refused: the gradient was not
    assert must_stop(history, Guards(spike="skip"))
    assert not must_stop(history, Guards(nonfinite="skip"))
