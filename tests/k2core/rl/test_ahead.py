"""One step off: sampling beside the update, how old samples are, and what a kill leaves."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from k2core.engines.megatron.batch import Batch, Objective, StepStats
from k2core.model.digest import tensors_digest
from k2core.rl.ahead import Lag, StaleError, beside, measure_lag
from k2core.rl.budget import TruncationError
from k2core.rl.loop import run_iterations
from k2core.rl.practice import Practice
from k2core.rl.samples import Sample
from k2core.store import Store
from schemas.chat import Problem
from schemas.placement import Placement, Serving
from schemas.recipe import Recipe
from schemas.rl import RlConfig
from schemas.rubrics import CriticConfig
from tests.k2core.rl.test_loop import (
    CONFIG,
    POOL,
    DivergingLearner,
    Recording,
    ToyEngine,
    ToyLearner,
    logged,
    practice,
    workspace,
)
from tests.k2core.rl.test_partial import PARTIAL, PartEngine, partly

OFF = CONFIG.model_copy(update={"staleness": 1})
MEETING_S = 20.0


def weights_of(root: Path) -> list[list[str]]:
    """Of each iteration's rollouts."""
    return [pl.read_parquet(rows)["weights"].unique().to_list() for rows in logged(root)]


def test_samples_are_of_the_weights_before_the_last_update(tmp_path: Path) -> None:
    report = Recording()
    at = Store(tmp_path).workspace("key", report, family="family")
    history = run_iterations(practice(ToyEngine(), OFF), at)
    assert [i.lag_max for i in history.iterations] == [0] + [1] * 8
    assert [i.lag_mean for i in history.iterations] == [0.0] + [1.0] * 8
    first, *others = weights_of(tmp_path)
    assert others[0] == first == [tensors_digest({"table": ToyLearner().table.detach()})]
    assert len({digest for (digest,) in others}) == 8
    assert history.iterations[0].reward < 0.5 < 0.8 < history.iterations[-1].reward
    assert [curves["lag_mean"] for curves in report.curves if "lag_mean" in curves] == [0] + [1] * 8
    assert {"seconds/rollout", "seconds/samples", "seconds/update"} <= report.curves[0].keys()
    assert " lag 1.0 " in report.notes[-1]


@dataclass
class Meeting(ToyEngine):
    """Samples beside an update, or not at all: each waits for the other."""

    gate: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))

    def play(
        self, problems: Sequence[Problem], seeds: Sequence[int], temperature: float
    ) -> list[Sample]:
        if self.calls:
            self.gate.wait(MEETING_S)
        return super().play(problems, seeds, temperature)


class MeetingLearner(ToyLearner):
    def __init__(self, gate: threading.Barrier) -> None:
        super().__init__()
        self._gate = gate

    def step(
        self,
        batch: Batch,
        lr: float,
        objective: Objective | None = None,
        max_loss: float | None = None,
    ) -> StepStats:
        self._gate.wait(MEETING_S)
        return super().step(batch, lr, objective)


def test_the_next_samples_are_drawn_while_the_trainer_learns(tmp_path: Path) -> None:
    engine, config = Meeting(), OFF.model_copy(update={"num_iterations": 4, "validation_every": 0})
    ready = replace(practice(engine, config), learner=MeetingLearner(engine.gate))
    assert run_iterations(ready, workspace(tmp_path)).iterations[-1].lag_max == 1
    assert engine.calls == 5  # the one after the last, too


def off_policy(engine: ToyEngine, config: RlConfig) -> Practice:
    return partly(engine, config) if isinstance(engine, PartEngine) else practice(engine, config)


@pytest.mark.parametrize(("kind", "fail_at"), [(ToyEngine, 4), (PartEngine, 120)])
def test_killed_run_resumes_to_the_same_bytes(
    tmp_path: Path, kind: type[ToyEngine], fail_at: int
) -> None:
    """The second engine plays dialogue by dialogue, and in parts."""
    base = CONFIG if kind is ToyEngine else PARTIAL
    config = base.model_copy(update={"staleness": 1, "num_iterations": 5})
    whole = run_iterations(off_policy(kind(), config), workspace(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_iterations(off_policy(kind(fail_at=fail_at), config), workspace(tmp_path / "killed"))
    done = workspace(tmp_path / "killed").states.sealed("iteration-")
    assert run_iterations(off_policy(kind(), config), workspace(tmp_path / "killed")) == whole
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    assert done
    assert whole.iterations[-1].lag_max >= 1


def test_more_iterations_go_on_with_what_was_drawn_ahead(tmp_path: Path) -> None:
    short, longer = (OFF.model_copy(update={"num_iterations": number}) for number in (2, 4))
    whole = run_iterations(practice(ToyEngine(), longer), workspace(tmp_path / "whole"))
    run_iterations(practice(ToyEngine(), short), workspace(tmp_path / "grown", "short"))
    Store(tmp_path / "grown").clear("short")
    again = workspace(tmp_path / "grown", "long")
    assert run_iterations(practice(ToyEngine(), longer), again) == whole
    assert logged(tmp_path / "grown", "long") == logged(tmp_path / "whole")


class Verbose(ToyEngine):
    """All its answers are cut off, which is foreseen from the third iteration on."""

    def play(
        self, problems: Sequence[Problem], seeds: Sequence[int], temperature: float
    ) -> list[Sample]:
        return [
            sample._replace(dialogue=sample.dialogue._replace(stop_reason="token_budget"))
            for sample in super().play(problems, seeds, temperature)
        ]


def test_a_run_pauses_before_a_step_that_it_was_asked_for_and_at_no_other(tmp_path: Path) -> None:
    strict = OFF.model_copy(
        update={"max_truncated_frac": 0.5, "validation_every": 0, "num_iterations": 2}
    )
    ended = run_iterations(practice(Verbose(), strict), workspace(tmp_path / "ended"))
    assert len(ended.iterations) == 2
    longer = strict.model_copy(update={"num_iterations": 3})
    with pytest.raises(TruncationError, match="100% of the next step"):
        run_iterations(practice(Verbose(), longer), workspace(tmp_path / "paused"))
    lenient = longer.model_copy(update={"max_truncated_frac": 1.0})
    again = run_iterations(practice(Verbose(), lenient), workspace(tmp_path / "paused", "more"))
    assert again == run_iterations(practice(Verbose(), lenient), workspace(tmp_path / "whole"))
    assert logged(tmp_path / "paused", "more") == logged(tmp_path / "whole")


@pytest.mark.parametrize("old", ["engine", "trainer"])
def test_log_p_are_of_who_wrote_it_or_its_importance_weight_is(tmp_path: Path, old: str) -> None:
    """The engine's log p differ from the trainer's by an update: nothing refuses that."""
    engine = ToyEngine()
    seen: list[tuple[float, float]] = []

    class Watching(ToyLearner):
        def step(
            self,
            batch: Batch,
            lr: float,
            objective: Objective | None = None,
            max_loss: float | None = None,
        ) -> StepStats:
            own, told = self.logprobs(batch), batch.extra["old_logprobs"]
            gap = ((own - told) * batch.loss_mask).abs().max()
            seen.append((float(gap), float((batch.extra["weight"] - 1).abs().max())))
            return super().step(batch, lr, objective)

    weighed = {"mismatch": "truncate"} if old == "trainer" else {}
    config = RlConfig.model_validate(
        OFF.model_dump() | {"old_logprobs": old, "mismatch_every": 1, "num_iterations": 4} | weighed
    )
    run_iterations(replace(practice(engine, config), learner=Watching()), workspace(tmp_path))
    fresh, *stale = seen
    assert fresh == pytest.approx((0.0, 0.0), abs=1e-5)
    by_engine = old == "engine"
    assert all((gap > 0.01) == by_engine for gap, _ in stale)
    assert all((weight > 0.01) != by_engine for _, weight in stale)


def test_an_update_that_fails_waits_for_the_samples_and_says_its_own_reason(
    tmp_path: Path,
) -> None:
    engine = ToyEngine(fail_at=3)  # the thread's: after a validation and the first samples
    ready = replace(practice(engine, OFF), learner=DivergingLearner())
    with pytest.raises(FloatingPointError, match="iteration 1 of 9"):
        run_iterations(ready, workspace(tmp_path))
    assert engine.calls == 3


def test_work_beside_a_block_is_waited_for_even_where_the_block_fails() -> None:
    begun, done = threading.Event(), list[int]()

    def work() -> int:
        begun.wait(MEETING_S)
        done.append(1)
        return 7

    def fail() -> None:
        with beside(work):
            begun.set()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert done == [1]
    with beside(work) as take:
        assert take() == 7


def sampled(weights: str) -> list[Sample]:
    (sample,) = ToyEngine().play(POOL[:1], [0], 1.0)
    thought, *_ = sample.dialogue.segments[1:]
    earlier = thought._replace(weights="a", token_ids=[1, 2, 3], logprobs=[-1.0] * 3)
    segments = (*sample.dialogue.segments[:1], earlier, thought)
    return [sample._replace(dialogue=sample.dialogue._replace(segments=segments, weights=weights))]


def test_lag_is_counted_a_token_and_bounded_where_it_is_learned_from() -> None:
    """Three tokens of the oldest weights, one of those that served the end."""
    served = ["a", "b", "c", "c"]  # the last update changed nothing
    assert measure_lag(sampled("c"), served, 0) == Lag(9 / 4, 3)
    assert measure_lag(sampled("b"), served, 2) == Lag(11 / 4, 3)
    with pytest.raises(StaleError, match=r"are 2 updates old, and rl\.staleness=1"):
        measure_lag(sampled("b"), served, 1)
    with pytest.raises(StaleError, match="no update made the weights d"):
        measure_lag(sampled("d"), served, 1)
    assert measure_lag([], served, 0) == Lag(0.0, 0)


def test_engines_must_be_free_while_the_trainer_computes() -> None:
    with pytest.raises(ValidationError, match=r"staleness=1 .* rl\.critic .* set one of them"):
        RlConfig(staleness=1, critic=CriticConfig())
    sleeping = Placement(serving=Serving(sleep=True))
    with pytest.raises(ValidationError, match=r"rl\.staleness=1 .* placement\.serving\.sleep"):
        Recipe(rl=RlConfig(staleness=1), placement=sleeping)
    assert Recipe(rl=RlConfig(staleness=0), placement=sleeping).placement.serving.sleep
