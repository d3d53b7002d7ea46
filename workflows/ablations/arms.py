"""Train one model on real text with one optimizer: the arm that all experiments here share."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from k2core.optim.schedule import learning_rate
from workflows.ablations.configs import TrainingArm
from workflows.ablations.kept import Result
from workflows.ablations.text import ByteText, draw_batch

if TYPE_CHECKING:
    from k2core.engines.megatron.trainer import Trainer

_HELDOUT_SEED = (2026, 11)


def name_arm(arm: TrainingArm) -> str:
    """A file name that only equal arms share."""
    return hashlib.sha256(arm.model_dump_json().encode()).hexdigest()[:16]


def train_arm(arm: TrainingArm, text: ByteText) -> Result:
    """Train and look.

    Returns:
        `losses` a step; `max_logits` a step and layer, before the step; `clipped`: the heads that
        each step rescaled, as layer * heads + head; `heldout`: pairs of steps and losses;
        `stopped`: the step whose loss was not finite, or None; `parameters`; `seconds` of CPU.
        Losses are nats a byte.
    """
    import torch

    from k2core.engines.megatron.batch import NonFiniteError

    torch.set_num_threads(1)
    started = time.process_time()
    trainer = _build_trainer(arm)
    heads, steps, width = arm.shape.num_heads, arm.schedule.num_steps, arm.sequence_length
    asked = draw_batch(text.heldout, arm.heldout_rows, width, _HELDOUT_SEED)
    at = {round(steps * (n + 1) / arm.evaluations) for n in range(arm.evaluations)}
    losses: list[float] = []
    max_logits: list[list[float]] = []
    clipped: list[list[int]] = []
    heldout: list[tuple[int, float]] = []
    stopped = None
    for step in range(steps):
        batch = draw_batch(text.train, arm.batch_size, width, (arm.seed, step))
        try:
            stats = trainer.step(batch, learning_rate(step, arm.optim.lr, arm.schedule))
        except NonFiniteError:
            stopped = step + 1
            break
        losses.append(stats.loss)
        max_logits.append(stats.max_logits)
        clipped.append([event.layer * heads + event.head for event in stats.clips])
        if step + 1 in at:
            heldout.append((step + 1, -float(trainer.logprobs(asked).mean())))
    return {
        "losses": losses,
        "max_logits": max_logits,
        "clipped": clipped,
        "heldout": heldout,
        "stopped": stopped,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "seconds": round(time.process_time() - started, 1),
    }


def _build_trainer(arm: TrainingArm) -> "Trainer":
    from k2core.engines.megatron.trainer import Trainer

    return Trainer(arm.shape, arm.optim, seed=arm.seed)


def list_missing(folder: Path, arms: Sequence[TrainingArm]) -> list[TrainingArm]:
    """Arms without a kept result, each once, in order."""
    named = {name_arm(arm): arm for arm in arms}
    return [arm for name, arm in named.items() if not (folder / f"{name}.json").exists()]
