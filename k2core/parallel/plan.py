"""What a training job needs in a layout: does it fit, how long does it take, why not."""

from dataclasses import replace
from typing import NamedTuple

from k2core.optim.registry import load_rule
from k2core.parallel.hardware import DEVICES, USABLE_FRAC
from k2core.parallel.layout import Layout, layout_of, misfits, num_micro_batches
from k2core.parallel.memory import Memory, Precision, memory_of_stages
from k2core.parallel.timing import StepTime, time_step
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement


class LayoutError(ValueError):
    """A layout that cannot run; the message gives every reason."""


class TrainingJob(NamedTuple):
    """What is to be trained."""

    shape: ModelShape
    batch_size: int
    """Sequences an optimizer step."""
    sequence_length: int
    """Tokens a sequence."""
    num_steps: int
    precision: Precision
    optim: OptimConfig = OptimConfig()

    @property
    def num_tokens(self) -> int:
        """Of the whole training."""
        return self.num_steps * self.batch_size * self.sequence_length


class Assumptions(NamedTuple):
    """What no arithmetic tells."""

    efficiency: float = 0.45
    """Share of the device's peak that kernels reach while they run."""
    fp8_compute: bool = False
    """Matrix products in FP8, as DeepSeek-V3; K2's are bf16."""


class Plan(NamedTuple):
    """A layout that can run, and what it costs."""

    layout: Layout
    stages: list[Memory]
    """A rank of each pipeline stage at its peak."""
    step: StepTime
    num_tokens: int

    @property
    def fullest(self) -> Memory:
        """Of the stage that needs most on its device."""
        return max(self.stages, key=lambda memory: memory.device)

    @property
    def tokens_per_second(self) -> float:
        """Over all devices."""
        return self.step.tokens / self.step.seconds

    @property
    def days(self) -> float:
        """For all tokens, without failures or restarts."""
        return self.num_tokens / self.tokens_per_second / 86_400

    @property
    def device_hours(self) -> float:
        """Days x devices, in hours."""
        return self.days * 24 * self.layout.num_ranks


def reasons_against(job: TrainingJob, layout: Layout) -> list[str]:
    """Why the layout cannot run the job: sizes that do not divide, or memory; empty if it can."""
    reasons = list(misfits(job.shape, layout, job.batch_size))
    return reasons or _overflow(layout, memory_in(job, layout))


def _overflow(layout: Layout, stages: list[Memory]) -> list[str]:
    limit = DEVICES[layout.gpu].memory * USABLE_FRAC
    for index, memory in enumerate(stages):
        if memory.device > limit:
            return [
                f"pipeline stage {index} needs {memory.device / 1e9:.1f} GB on each {layout.gpu}, "
                f"which can fill {limit / 1e9:.1f} GB: {memory.states / 1e9:.1f} GB of parameters, "
                f"gradients and optimizer, {memory.activations / 1e9:.1f} GB of activations, "
                f"{memory.logits / 1e9:.1f} GB of logits. Raise pp, ep, cp or the number of ranks, "
                "lower micro_batch, or save activations (recompute, FP8 storage, offload)"
            ]
    return []


def memory_in(job: TrainingJob, layout: Layout) -> list[Memory]:
    """A rank of each stage at its peak."""
    return memory_of_stages(
        job.shape,
        layout,
        sequence_length=job.sequence_length,
        micro_batches=num_micro_batches(layout, job.batch_size),
        precision=job.precision,
        optimizer=load_rule(job.optim),
    )


def make_plan(job: TrainingJob, layout: Layout, assumptions: Assumptions) -> Plan:
    """Predict memory and time.

    Raises:
        LayoutError: it cannot run; says why.
    """
    reasons = list(misfits(job.shape, layout, job.batch_size))
    stages = [] if reasons else memory_in(job, layout)
    if reasons := reasons or _overflow(layout, stages):
        raise LayoutError(f"{layout} on {layout.num_ranks} {layout.gpu}: " + "; ".join(reasons))
    step = time_step(
        job.shape,
        layout,
        batch_size=job.batch_size,
        sequence_length=job.sequence_length,
        precision=job.precision,
        efficiency=assumptions.efficiency,
        fp8_compute=assumptions.fp8_compute,
        optimizer=load_rule(job.optim),
    )
    return Plan(layout, stages, step, job.num_tokens)


def check_placement(job: TrainingJob, placement: Placement, **savings: object) -> None:
    """Refuse a placement before any process starts, with every reason.

    Args:
        job: what is to be trained.
        placement: where; `tokens_a_rank` decides how many ranks share a sequence.
        savings: fields of `Layout` that no placement says: fp8_storage.

    Raises:
        LayoutError: it cannot run.
    """
    try:
        layout = layout_of(placement.for_length(job.sequence_length))
    except ValueError as error:
        raise LayoutError(f"placement: {error}") from None
    layout = replace(layout, **savings)  # type: ignore[arg-type]
    if reasons := reasons_against(job, layout):
        raise LayoutError(f"placement {layout}: " + "; ".join(reasons))
