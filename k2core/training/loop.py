"""Steps until the schedule ends, resuming from the last state in scratch."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from k2core.optim.registry import load_rule
from k2core.store import Workspace
from k2core.training.curves import draw_clipped_shares, draw_loss, draw_max_logits
from k2core.training.guard import (
    Document,
    Spread,
    describe,
    find_max_loss,
    must_stop,
    name_documents,
    spread_before,
    write_refused,
)
from k2core.training.history import History
from schemas.optim import Guards, OptimConfig

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch, StepStats


class Steps(Protocol):
    """What takes the steps: a `Trainer` or a `TrainerGroup`."""

    def step(self, batch: "Batch", lr: float, *, max_loss: float) -> "StepStats":
        """One optimizer step on a global batch; not taken above a loss."""

    def save(self, folder: Path) -> None:
        """Write the state."""

    def load(self, folder: Path) -> None:
        """Take up a state."""


@dataclass(frozen=True)
class Plan:
    """What to train on, and how long."""

    optim: OptimConfig
    num_steps: int
    """Of the whole training."""
    lr: Callable[[int], float]
    """Learning rate of a step, counted from 0."""
    num_heads: int
    """Attention heads of all layers together."""
    checkpoint_every: int
    guards: Guards
    batch: "Callable[[int], Batch]"
    """The global batch of a step, counted from 0; the same at every call."""
    documents: Callable[[int], Sequence[Document]]
    """What is in the batch of a step: named when the step is refused."""
    first: int = 0
    """The first step of this phase; losses before it are no yardstick for the guards."""
    last: int | None = None
    """One past this phase's last step, where its state is saved; None is `num_steps`."""


def train(trainer: Steps, plan: Plan, workspace: Workspace) -> History:
    """Take all steps of the plan's phase; a killed run goes on after its last saved state.

    Raises:
        FloatingPointError: a loss or gradient is not finite, or the loss jumps, and the guards say
            stop; names the step, its documents and the last good state.
    """
    states, report, guards = workspace.scratch / "states", workspace.report, plan.guards
    states.mkdir(parents=True, exist_ok=True)
    history, total = _resume(trainer, states), plan.num_steps
    last = total if plan.last is None else plan.last
    report.progress(history.num_steps, total, "the first step")
    for index in range(history.num_steps, last):
        lr, start = plan.lr(index), time.perf_counter()
        spread = spread_before(history, guards.window, since=plan.first)
        max_loss = find_max_loss(spread, guards)
        stats = trainer.step(plan.batch(index), lr, max_loss=max_loss)
        history.add(stats, max_loss)
        if not stats.taken:
            _refuse(plan, history, describe(stats, spread, max_loss), states)
        speed = stats.tokens / (time.perf_counter() - start)
        report.metrics(index + 1, _curves(stats, lr, speed, plan.num_heads, spread))
        note = f"step {index + 1}/{total} loss {stats.loss:.2f} {speed / 1000:.1f}k tok/s"
        report.progress(index + 1, total, note)
        due = (index + 1) % plan.checkpoint_every == 0 or index + 1 == last
        if due and index + 1 < total:
            _save(trainer, history, states)
    if last == total:
        _draw(history, plan, workspace)
    return history


def count_saved_steps(workspace: Workspace) -> int:
    """Steps of the newest state that a run in this workspace would go on from."""
    found = sorted((workspace.scratch / "states").glob("step-*"))
    return int(found[-1].name.removeprefix("step-")) if found else 0


def _refuse(plan: Plan, history: History, why: str, states: Path) -> None:
    """List the step's documents; stop if the guards say so."""
    step, documents = history.num_steps, plan.documents(history.num_steps - 1)
    path = states.parent / "refused" / f"step-{step:08d}.json"
    write_refused(path, history.refused[-1], documents)
    if must_stop(history, plan.guards):
        kept = max((folder.name for folder in states.glob("step-*")), default=None)
        last = f"The last good state is {states / kept}" if kept else "No state was saved before it"
        raise FloatingPointError(
            f"step {step} of {plan.num_steps}: {why}. Its batch: "
            f"{name_documents(documents)}; all are listed in {path}. {last}. Lower optim.lr, look "
            "at these documents, or let guards skip such batches"
        )


def _draw(history: History, plan: Plan, workspace: Workspace) -> None:
    report = workspace.report
    report.plot("Loss", draw_loss(history))
    clip = load_rule(plan.optim).head_clip
    report.plot("Largest attention logits", draw_max_logits(history, clip))
    if history.clips:
        report.plot("Heads that QK-Clip rescaled", draw_clipped_shares(history, plan.num_heads))
        report.table("First QK-Clip events", history.clips[:50])
    if history.refused:
        report.table("Batches left out", history.refused[:50])


def _curves(
    stats: "StepStats", lr: float, speed: float, num_heads: int, spread: Spread | None
) -> dict[str, float]:
    layers = {f"max_logit/layer_{i}": logit for i, logit in enumerate(stats.max_logits)}
    return {
        "loss": stats.loss,
        "lr": lr,
        "grad_norm": stats.grad_norm,
        "tokens_per_second": speed,
        "clipped_heads": float(len(stats.clips)),
        "clipped_share": len(stats.clips) / num_heads,
        **({} if spread is None else {"loss_z": spread.z(stats.loss)}),
        "refused": float(not stats.taken),
        **layers,
        **stats.groups,
        **stats.metrics,
    }


def _save(trainer: Steps, history: History, states: Path) -> None:
    """Write a state aside, rename it, and only then drop the older ones."""
    aside = states / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    trainer.save(aside)
    history.save(aside / "history.json")
    older = list(states.glob("step-*"))
    aside.rename(states / f"step-{history.num_steps:08d}")
    for folder in older:
        shutil.rmtree(folder)


def _resume(trainer: Steps, states: Path) -> History:
    found = sorted(states.glob("step-*"))
    if not found:
        return History()
    trainer.load(found[-1])
    return History.load(found[-1] / "history.json")
