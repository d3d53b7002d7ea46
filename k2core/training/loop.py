"""Steps until the schedule ends, on every rank, resuming from the last state in scratch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from k2core.optim.registry import load_rule
from k2core.store import Workspace
from k2core.training.curves import draw_clipped_shares, draw_loss, draw_max_logits
from k2core.training.feed import Feed
from k2core.training.guard import (
    BatchDocument,
    LossSpread,
    describe,
    find_max_loss,
    must_stop,
    name_documents,
    spread_before,
    write_refused,
)
from k2core.training.history import StepLog
from k2core.training.states import TrainingStates
from schemas.optim import Guards, OptimConfig

if TYPE_CHECKING:
    from k2core.engines.learner import RankSteps
    from k2core.engines.megatron.batch import Batch, StepStats
    from k2core.engines.torchrun import Ranks


@dataclass(frozen=True)
class Course:
    """What to train on, and how long."""

    optim: OptimConfig
    num_steps: int
    """Of the whole training."""
    lr: Callable[[int], float]
    """Learning rate of a step, counted from 0."""
    num_heads: int
    """Attention heads of all layers together."""
    checkpoint_every: int
    """Steps between states."""
    states_kept: int
    guards: Guards
    batch: "Callable[[int], Batch]"
    """This rank's rows of a step's global batch, counted from 0; the same at every call."""
    documents: Callable[[int], Sequence[BatchDocument]]
    """What is in the global batch of a step: named when the step is refused."""
    first: int = 0
    """The first step of this phase; losses before it are no yardstick for the guards."""
    last: int | None = None
    """One past this phase's last step, where its state is saved; None is `num_steps`."""


def train(trainer: "RankSteps", course: Course, workspace: Workspace, ranks: "Ranks") -> StepLog:
    """Take all steps of the course's phase; a killed run goes on after its last whole state.

    Every rank runs this; rank 0 alone has a reporter that says something.

    Raises:
        FloatingPointError: a loss or gradient is not finite, or the loss jumps, and the guards say
            stop; names the step, its documents and the last good state.
    """
    states = TrainingStates(workspace.states, ranks, course.states_kept)
    log, guards, total = states.resume(trainer), course.guards, course.num_steps
    last = total if course.last is None else course.last
    workspace.report.progress(log.num_steps, total, "the first step")
    with Feed(course.batch, last) as feed:
        for index in range(log.num_steps, last):
            start = time.perf_counter()
            lr, spread = course.lr(index), spread_before(log, guards.window, since=course.first)
            max_loss = find_max_loss(spread, guards)
            stats = trainer.step(feed.take(index), lr, max_loss=max_loss)
            log.add(stats, max_loss)
            states.settle()
            if not stats.taken:
                documents = feed.ask(partial(course.documents, index))
                why = describe(stats, spread, max_loss)
                _refuse(course, log, why, documents, states, workspace.scratch)
            speed = stats.tokens / (time.perf_counter() - start)
            _report(course, workspace, stats, lr, speed, spread, index + 1)
            due = (index + 1) % course.checkpoint_every == 0 or index + 1 == last
            if due and index + 1 < total:
                states.begin(trainer, log)
    states.finish()
    if last == total:
        _draw(log, course, workspace)
    return log


def _report(
    course: Course,
    workspace: Workspace,
    stats: "StepStats",
    lr: float,
    speed: float,
    spread: LossSpread | None,
    step: int,
) -> None:
    total, curves = course.num_steps, _curves(stats, lr, speed, course.num_heads, spread)
    workspace.report.metrics(step, curves)
    note = f"step {step}/{total} loss {stats.loss:.2f} {speed / 1000:.1f}k tok/s"
    workspace.report.progress(step, total, note)


def _refuse(
    course: Course,
    log: StepLog,
    why: str,
    documents: Sequence[BatchDocument],
    states: TrainingStates,
    scratch: Path,
) -> None:
    """List the step's documents; stop if the guards say so."""
    states.finish()
    step, kept = log.num_steps, states.newest()
    path = scratch / "refused" / f"step-{step:08d}.json"
    if states.ranks.rank == 0:
        write_refused(path, log.refused[-1], documents)
    if must_stop(log, course.guards):
        last = f"The last good state is {kept}" if kept else "No state was saved before it"
        raise FloatingPointError(
            f"step {step} of {course.num_steps}: {why}. Its batch: "
            f"{name_documents(documents)}; all are listed in {path}. {last}. Lower optim.lr, look "
            "at these documents, or let guards skip such batches"
        )


def _draw(log: StepLog, course: Course, workspace: Workspace) -> None:
    report = workspace.report
    report.plot("Loss", draw_loss(log))
    clip = load_rule(course.optim).head_clip
    report.plot("Largest attention logits", draw_max_logits(log, clip))
    if log.clips:
        report.plot("Heads that QK-Clip rescaled", draw_clipped_shares(log, course.num_heads))
        report.table("First QK-Clip events", log.clips[:50])
    if log.refused:
        report.table("Batches left out", log.refused[:50])


def _curves(
    stats: "StepStats", lr: float, speed: float, num_heads: int, spread: LossSpread | None
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
