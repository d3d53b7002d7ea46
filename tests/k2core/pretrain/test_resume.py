"""kill -9 and go on: bit for bit in one process, and to rounding where the ranks change."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor

from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.ranks import TrainerGroup
from k2core.engines.megatron.trainer import Trainer
from k2core.model.digest import tensors_digest
from k2core.optim.schedule import learning_rate
from k2core.reporting import Silent
from k2core.training import History, Plan, train
from schemas.model import ModelShape
from schemas.optim import Guards, OptimConfig, Schedule
from schemas.placement import Placement

OPTIM = OptimConfig(lr=5e-3, qk_clip_tau=1e-3)
STEPS, EVERY = 10, 4


def make_batch(step: int) -> Batch:
    """Rows of two documents, the last of them padded."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 300, (4, 25), generator=generator)
    segments = (torch.arange(24) >= 9).long().repeat(4, 1)
    segments[3, 20:] = -1
    mask = (segments >= 0).float()
    return Batch(tokens[:, :-1], tokens[:, 1:], mask, segments)


def plan(kill_at: int | None = None) -> Plan:
    """A batch is spoilt half-way, so that the guards have a history too."""

    def batch(step: int) -> Batch:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        found = make_batch(step)
        return found._replace(loss_mask=found.loss_mask * torch.nan) if step == 3 else found

    return Plan(
        optim=OPTIM,
        num_steps=STEPS,
        lr=lambda step: learning_rate(step, OPTIM.lr, Schedule(num_steps=STEPS)),
        num_heads=4,
        checkpoint_every=EVERY,
        guards=Guards(nonfinite="skip"),
        batch=batch,
        documents=lambda _step: [],
    )


class KilledWhileSaving(Trainer):
    """Dies with one half of its second state on disk."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.num_steps > EVERY:
            (folder / "state.json").unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def run(kind: type[Trainer], shape: ModelShape, scratch: Path, plan: Plan) -> tuple[History, str]:
    trainer = kind(shape, OPTIM, seed=0)
    history = train(trainer, plan, _workspace(scratch))
    return history, tensors_digest(trainer.export_weights())


def _workspace(scratch: Path) -> Any:
    return SimpleNamespace(scratch=scratch, report=Silent())


@pytest.mark.parametrize(("killed", "kept"), [("6", 4), ("saving", 4)])
def test_one_process_killed_in_a_step_or_while_saving_ends_with_the_same_bits(
    shape: ModelShape, tmp_path: Path, killed: str, kept: int
) -> None:
    whole, weights = run(Trainer, shape, tmp_path / "whole", plan())
    scratch = tmp_path / "killed"
    child = subprocess.run(
        [sys.executable, __file__, shape.model_dump_json(), str(scratch), killed],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    assert [path.name for path in (scratch / "states").glob("step-*")] == [f"step-{kept:08d}"]
    assert (scratch / "states" / "aside").exists() == (killed == "saving")
    history, again = run(Trainer, shape, scratch, plan())
    assert again == weights
    assert repr(history) == repr(whole)  # NaN equals itself in print only
    assert history.clips
    assert [entry["step"] for entry in history.refused] == [4]


class Run(NamedTuple):
    losses: list[float]
    weights: dict[str, Tensor]


@contextmanager
def _group(shape: ModelShape, zero: Literal["matrix", "flat"]) -> Iterator[TrainerGroup]:
    placement = Placement(num_ranks=2, micro_batch=2, zero=zero)
    with TrainerGroup(shape, OPTIM, seed=0, placement=placement) as group:
        yield group


def _take(trainer: Any, first: int, last: int) -> Run:
    losses = [trainer.step(make_batch(step), 1e-3).loss for step in range(first, last)]
    return Run(losses, trainer.export_weights())


@pytest.mark.parametrize("zero", ["matrix", "flat"])
def test_a_killed_run_goes_on_with_other_numbers_of_ranks(
    shape: ModelShape, tmp_path: Path, zero: Literal["matrix", "flat"]
) -> None:
    alone = Trainer(shape, OPTIM, seed=0)
    head = _take(alone, 0, 5)
    alone.save(tmp_path / "one")
    whole = _take(alone, 5, 10)
    with _group(shape, zero) as group:
        _take(group, 0, 5)
        group.save(tmp_path / "two")
        group.load(tmp_path / "one")
        from_one = _take(group, 5, 10)
        for rank in group._ranks:
            rank.process.kill()
    alone = Trainer(shape, OPTIM, seed=1)
    alone.load(tmp_path / "two")
    from_two = _take(alone, 5, 10)
    for found in (from_one, from_two):
        assert found.losses == pytest.approx(whole.losses, abs=1e-6)
        for name, weight in whole.weights.items():
            torch.testing.assert_close(found.weights[name], weight, rtol=0, atol=1e-6, msg=name)
    moved = (whole.weights["lm_head.weight"] - head.weights["lm_head.weight"]).abs().max()
    assert moved > 1e-3  # the bound above is about something


if __name__ == "__main__":
    model, folder, where = sys.argv[1:]
    torch.set_num_threads(1)
    kind = KilledWhileSaving if where == "saving" else Trainer
    given = plan(None if where == "saving" else int(where))
    run(kind, ModelShape.model_validate_json(model), Path(folder), given)
