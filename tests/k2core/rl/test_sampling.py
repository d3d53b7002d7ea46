"""Sampling: replacement of what teaches nothing, faults that are dropped, or stop the run."""

import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch

from k2core.rewards import Verdict
from k2core.rl.clock import Clock
from k2core.rl.loop import run_iterations
from k2core.rl.practice import Practice
from k2core.rl.priority import Successes
from k2core.rl.samples import Sample
from k2core.rl.sampling import FaultyError, sample_groups
from k2core.rl.state import IterationStates
from schemas.rl import RlConfig
from tests.k2core.rl.test_loop import (
    CONFIG,
    K2,
    POOL,
    ToyEngine,
    ToyLearner,
    judge,
    logged,
    workspace,
)


def practice(config: RlConfig, judged: "Judge") -> Practice:
    engine = ToyEngine()
    return Practice(config, K2, POOL, POOL, [], ToyLearner(), engine, engine.play, judged, 0, 1)


class Judge:
    """Passes every other sample of some problems, and none of the others'; some are faulty."""

    def __init__(self, useful: set[int], faulty: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.useful, self.faulty = useful, faulty

    def __call__(self, samples: Sequence[Sample]) -> list[Verdict]:
        found = []
        for place, sample in enumerate(samples):
            number = int(sample.problem.problem_id.rsplit("/", 1)[1])
            passed = number in self.useful and place % 2
            broken = number in self.faulty and not place % 2
            found.append(Verdict.faulty("down") if broken else Verdict(float(passed), "x"))
        return found


def change(**settings: object) -> RlConfig:
    return RlConfig.model_validate(CONFIG.model_dump() | settings)


def sample(config: RlConfig, judged: Judge) -> list[str]:
    """Problems that were asked, in order."""
    found = sample_groups(practice(config, judged), Successes(), 1.0, random.Random(0), Clock())
    return [seen.problem.problem_id for seen in found.seen]


@pytest.mark.parametrize(
    ("rounds", "num_asked", "num_useful"), [(0, 4, None), (1, 5, None), (9, 8, 3)]
)
def test_what_teaches_nothing_is_followed_by_others(
    rounds: int, num_asked: int, num_useful: int | None
) -> None:
    useful = {1, 4, 6}
    asked = sample(change(problems_per_iteration=4, refill_rounds=rounds), Judge(useful))
    assert len(asked) == len(set(asked))
    assert len(asked) >= num_asked
    if num_useful is not None:
        assert sum(int(name[-1]) in useful for name in asked) == num_useful


def test_faulty_problems_are_left_out_up_to_a_share() -> None:
    config = change(problems_per_iteration=8, max_faulty_frac=0.25)
    asked = sample(config, Judge({1, 2}, faulty={3, 5}))
    assert sorted(int(name[-1]) for name in asked) == [0, 1, 2, 4, 6, 7]
    with pytest.raises(FaultyError, match=r"3 of 8 .*max_faulty_frac=0\.25 allows: 3 x .*down"):
        sample(config, Judge({1}, faulty={3, 5, 6}))


def test_a_run_with_faults_ends_and_counts_them(tmp_path: Path) -> None:
    config = change(num_iterations=3, problems_per_iteration=8, max_faulty_frac=0.2)
    history = run_iterations(practice(config, Judge({1, 2}, faulty={3})), workspace(tmp_path))
    assert [sum(i.dropped.values()) for i in history.iterations] == [1, 1, 1]
    tables = map(pl.read_parquet, logged(tmp_path))
    assert [table["problem_id"].n_unique() for table in tables] == [7, 7, 7]


@pytest.mark.parametrize(
    ("examined", "kept_iteration"),
    [([0.5, 0.9, 0.2, 0.4], 3), ([0.5, 0.625, 0.5, 0.5], 9), ([0.9, 0.2, 0.2, 0.2], 0)],
)
def test_the_best_weights_by_validation_are_kept(
    tmp_path: Path, examined: list[float], kept_iteration: int
) -> None:
    """Examined before iterations 0, 3 and 6, and after the last; of like ones the latest."""
    rates = iter(examined)

    class Examiner:
        def __call__(self, samples: Sequence[Sample]) -> list[Verdict]:
            if len(samples) != len(POOL):
                return judge(samples)
            passed = round(next(rates) * len(samples))
            return [Verdict(float(place < passed)) for place in range(len(samples))]

    engine, learner = ToyEngine(), ToyLearner()
    ready = Practice(CONFIG, K2, POOL, POOL, [], learner, engine, engine.play, Examiner(), 0, 1)
    history = run_iterations(ready, workspace(tmp_path))
    assert history.best == kept_iteration
    states = workspace(tmp_path).states
    assert IterationStates(states, tmp_path / "aside").copy_best(tmp_path / "kept")
    if kept_iteration < 9:  # else the last weights, which the learner has
        assert states.sealed("best-") == [f"best-{kept_iteration:05d}"]
    kept = torch.load(tmp_path / "kept/table.pt")
    assert not torch.equal(kept, learner.table.detach())
    assert [i.validation is not None for i in history.iterations] == [i % 3 == 0 for i in range(9)]


def test_every_rollout_can_be_scored_again(tmp_path: Path) -> None:
    run_iterations(practice(change(num_iterations=1), Judge({1})), workspace(tmp_path))
    rows = pl.read_parquet(logged(tmp_path)[0])
    for row in rows.iter_rows(named=True):
        (prompt, written), (nothing, logprob) = row["token_ids"], row["logprobs"]
        assert nothing is None
        assert logprob == pytest.approx(-1.3863, abs=1e-4)  # one of four, before any update
        assert 0 <= prompt < 4
        assert 0 <= written < 4
        assert row["temperature"] == 1.0
