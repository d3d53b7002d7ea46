import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from k2core.engines.megatron.batch import Batch, NonFiniteError, ObjectiveValue, StepStats
from k2core.engines.megatron.ranks import RankError, TrainerGroup
from k2core.engines.megatron.trainer import Trainer
from k2core.model.digest import tensors_digest
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

BatchMaker = Callable[..., Batch]
CONFIG = OptimConfig(qk_clip_tau=0.05)
TWO = Placement(num_ranks=2, micro_batch=2)


def assert_close(ours: StepStats, theirs: StepStats) -> None:
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
    assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
    assert ours.max_logits == pytest.approx(theirs.max_logits, abs=1e-5)
    assert [event[:2] for event in ours.clips] == [event[:2] for event in theirs.clips]
    assert ours.tokens == theirs.tokens


def test_two_ranks_equal_one_process_and_resume_bitwise(
    shape: ModelShape, make_batch: BatchMaker, tmp_path: Path
) -> None:
    """Uneven rows, padding and forced clips; then the state is taken up by one and two ranks."""
    alone = Trainer(shape, CONFIG, seed=0)
    with TrainerGroup(shape, CONFIG, seed=0, placement=TWO) as group:
        num_clips = 0
        for seed in range(4):
            batch = make_batch(seed, rows=5)
            ours, theirs = group.step(batch, 2e-3), alone.step(batch, 2e-3)
            assert_close(ours, theirs)
            num_clips += len(ours.clips)
        assert num_clips > 4
        exported = group.export_weights()
        for name, weight in alone.export_weights().items():
            torch.testing.assert_close(exported[name], weight, rtol=0, atol=1e-5)
        probe = make_batch(9)
        torch.testing.assert_close(group.logprobs(probe), alone.logprobs(probe), atol=1e-4, rtol=0)

        group.save(tmp_path / "state")
        # One row for two ranks: the first has nothing to do, yet takes part.
        last = [group.step(make_batch(seed, rows=1), 2e-3) for seed in (4, 5)]
        wanted = tensors_digest(group.export_weights())
        group.load(tmp_path / "state")
        assert [group.step(make_batch(seed, rows=1), 2e-3) for seed in (4, 5)] == last
        assert tensors_digest(group.export_weights()) == wanted

    resharded = Trainer(shape, CONFIG, seed=7)
    resharded.load(tmp_path / "state")
    assert resharded.num_steps == 4
    assert_close(resharded.step(make_batch(4, rows=1), 2e-3), last[0])


def weigh(logprobs: torch.Tensor, batch: Batch) -> ObjectiveValue:
    """Needs whole rows: each row's sum is squared."""
    sums = (logprobs * batch.loss_mask).sum(-1) / 200
    value = (sums.square() * batch.extra["weight"]).sum() / batch.totals.rows
    return ObjectiveValue(value, {"rows": len(sums) / batch.totals.rows})


def test_ranks_that_share_sequences_equal_one_process(
    shape: ModelShape, make_batch: BatchMaker
) -> None:
    """An odd width, padding, YaRN and an objective of whole rows; clips forced."""
    shape = shape.model_copy(
        update={"yarn_factor": 4.0, "original_max_position_embeddings": 64, "seq_aux_loss": 0.1}
    )
    alone = Trainer(shape, CONFIG, seed=0)
    shared = Placement(num_ranks=2, cp=2, micro_batch=2)
    with TrainerGroup(shape, CONFIG, seed=0, placement=shared) as group:
        num_clips = 0
        for seed in range(3):
            batch = make_batch(seed, width=23)._replace(extra={"weight": 1 + torch.arange(5.0)})
            ours, theirs = group.step(batch, 1e-3, weigh), alone.step(batch, 1e-3, weigh)
            assert_close(ours, theirs)
            assert ours.metrics == pytest.approx({"rows": 1.0})
            num_clips += len(ours.clips)
        assert num_clips > 3
        probe = make_batch(9, width=23)
        torch.testing.assert_close(group.logprobs(probe), alone.logprobs(probe), atol=1e-4, rtol=0)
        found, wanted = group.logits(probe.tokens), alone.logits(probe.tokens)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
        exported = group.export_weights()
        for name, weight in alone.export_weights().items():
            # AdamW divides by its epsilon where a rare token's gradient is as small
            torch.testing.assert_close(exported[name], weight, rtol=0, atol=5e-5)


def test_all_ranks_hold_bitwise_equal_weights(shape: ModelShape, make_batch: BatchMaker) -> None:
    with TrainerGroup(shape, CONFIG, seed=0, placement=TWO) as group:
        for seed in range(3):
            group.step(make_batch(seed), 2e-3)
        digests = {tensors_digest(w) for w in group._call("local_weights", [()] * 2)}
        assert len(digests) == 1


def fail(_logprobs: torch.Tensor, _batch: Batch) -> ObjectiveValue:
    raise ZeroDivisionError("a reward was divided by nothing")


def poison(logprobs: torch.Tensor, _batch: Batch) -> ObjectiveValue:
    return ObjectiveValue(logprobs.sum() * torch.inf)


def test_errors_of_a_rank_reach_the_driver(shape: ModelShape, make_batch: BatchMaker) -> None:
    alone = Placement(num_ranks=1)
    with TrainerGroup(shape, CONFIG, seed=0, placement=alone) as group:
        with pytest.raises(
            RankError, match=r"rank 0 failed:[\s\S]*in fail[\s\S]*divided by nothing"
        ):
            group.step(make_batch(0), 1e-3, fail)
        with pytest.raises(RankError, match="the group is closed"):
            group.export_weights()
    with (
        TrainerGroup(shape, CONFIG, seed=0, placement=alone) as group,
        pytest.raises(NonFiniteError, match=r"loss -?inf"),
    ):
        group.step(make_batch(0), 1e-3, poison)


def test_a_dead_rank_is_an_error_and_not_a_wait(shape: ModelShape, make_batch: BatchMaker) -> None:
    with TrainerGroup(shape, CONFIG, seed=0, placement=TWO) as group:
        group._ranks[1].process.kill()
        with pytest.raises(RankError, match=r"rank 1 died with exit code -9|rank 0 failed"):
            group.step(make_batch(0), 1e-3)


def test_ranks_die_with_their_driver(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path\n"
        "from k2core.engines.megatron.ranks import TrainerGroup\n"
        "from schemas.model import ModelShape; from schemas.optim import OptimConfig\n"
        "from schemas.placement import Placement\n"
        "shape = ModelShape(num_layers=1, num_dense_layers=1, hidden_size=16, vocab_size=300)\n"
        "group = TrainerGroup(shape, OptimConfig(), seed=0, placement=Placement(num_ranks=1))\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(group._ranks[0].process.pid))\n"
        "time.sleep(60)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "."})
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    rank = int((tmp_path / "pid").read_text())
    driver.kill()
    driver.wait()
    while Path(f"/proc/{rank}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{rank}/cmdline").read_bytes():  # a zombie that init will reap
            break
        time.sleep(0.1)
    assert time.monotonic() < deadline
