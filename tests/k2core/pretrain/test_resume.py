"""kill -9 and go on, bit for bit; where the ranks change, see `test_ranks.py`."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from k2core.engines.learner import Snapshot, Writing
from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.trainer import Trainer
from k2core.model.digest import tensors_digest
from k2core.optim.schedule import learning_rate
from k2core.store import Store
from k2core.training import Course, StepLog, train
from schemas.model import ModelShape
from schemas.optim import Guards, OptimConfig, Schedule

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


def plan(kill_at: int | None = None) -> Course:
    """A batch is spoilt half-way, so that the guards have a history too."""

    def rate(step: int) -> float:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return learning_rate(step, OPTIM.lr, Schedule(num_steps=STEPS))

    def batch(step: int) -> Batch:
        found = make_batch(step)
        return found._replace(loss_mask=found.loss_mask * torch.nan) if step == 3 else found

    return Course(
        optim=OPTIM,
        num_steps=STEPS,
        lr=rate,
        num_heads=4,
        checkpoint_every=EVERY,
        states_kept=1,
        guards=Guards(nonfinite="skip"),
        batch=batch,
        documents=lambda _step: [],
    )


class Deadly(NamedTuple):
    """A copy of a state that is half on disk when the process dies."""

    whole: Snapshot

    def write(self, writing: Writing) -> None:
        self.whole.write(writing)
        os.kill(os.getpid(), signal.SIGKILL)


class KilledWhileSaving(Trainer):
    """Dies with one half of its second state on disk."""

    def snapshot(self) -> Snapshot:  # type: ignore[override]
        found = super().snapshot()
        return Deadly(found) if self.num_steps > EVERY else found


def run(
    kind: type[Trainer], shape: ModelShape, scratch: Path, course: Course
) -> tuple[StepLog, str]:
    trainer = kind(shape, OPTIM, seed=0)
    log = train(trainer, course, Store(scratch).workspace("run"), trainer.ranks)
    return log, tensors_digest(trainer.export_weights())


@pytest.mark.parametrize(
    ("killed", "kept"), [pytest.param("7", 4, marks=pytest.mark.slow), ("saving", 4)]
)
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
    states = Store(scratch).states("run")
    assert states.sealed() == [f"step-{kept:08d}"]
    assert bool(states.names("step-00000008")) == (killed == "saving")
    history, again = run(Trainer, shape, scratch, plan())
    assert again == weights
    assert repr(history) == repr(whole)  # NaN equals itself in print only
    assert history.clips
    assert [entry["step"] for entry in history.refused] == [4]


if __name__ == "__main__":
    model, folder, where = sys.argv[1:]
    torch.set_num_threads(1)
    kind = KilledWhileSaving if where == "saving" else Trainer
    given = plan(None if where == "saving" else int(where))
    run(kind, ModelShape.model_validate_json(model), Path(folder), given)
