"""An iteration of reinforcement learning: rollouts, updates and weights, on what devices."""

from typing import NamedTuple

from k2core.model.counts import sum_parameters
from k2core.parallel.hardware import DEVICES, USABLE_FRAC
from k2core.parallel.layout import layout_of
from k2core.parallel.plan import Assumptions, LayoutError, Plan, TrainingJob, make_plan
from k2core.parallel.serving import Demand, MetDemand, arithmetic_width, plan_serving
from schemas.placement import Placement


class PracticePlan(NamedTuple):
    """Seconds of one iteration, and what it takes."""

    devices: int
    served: MetDemand
    update: Plan
    """On rows of mean length; what fits is checked on the longest."""
    forward: float
    """The trainer's own log p of what was sampled, where it is asked for."""
    transfer_bytes: float
    """Of the weights as they are served."""
    transfer: float

    @property
    def seconds(self) -> float:
        """Parts one after another."""
        return self.served.seconds + self.forward + self.update.step.seconds + self.transfer


def plan_practice(
    job: TrainingJob,
    placement: Placement,
    demand: Demand,
    assumptions: Assumptions,
    *,
    forward: bool,
    fp8_storage: bool = False,
) -> PracticePlan:
    """Predict an iteration.

    Args:
        job: one update on rows of the longest dialogue.
        placement: of the trainer and its engines.
        demand: an iteration's dialogues.
        assumptions: as for `make_plan`.
        forward: whether the trainer takes log p before the update.
        fp8_storage: of the optimizer's config.

    Raises:
        LayoutError: it cannot run; names trainer or engines and every reason.
    """
    longest = _fit_trainer(job, placement, assumptions, fp8_storage)
    serving, gpu = placement.serving, placement.gpu
    reasons = []
    wanted = serving.num_engines * serving.devices
    if gpu != "cpu" and serving.sleep:
        if wanted > placement.num_ranks:
            reasons.append(
                f"serving.sleep puts {wanted} of the engines' devices on the trainer's "
                f"{placement.num_ranks}: lower num_engines, tp or pp"
            )
        states, memory = longest.fullest.states, DEVICES[gpu].memory
        if states + serving.memory_frac * memory > memory * USABLE_FRAC:
            reasons.append(
                f"an engine beside the trainer's {states / 1e9:.1f} GB of parameters, gradients "
                f"and optimizer may fill {USABLE_FRAC - states / memory:.2f} of a {gpu} at most; "
                f"serving.memory_frac={serving.memory_frac}"
            )
    served = None
    try:
        served = plan_serving(
            job.shape, serving, gpu, placement.ranks_per_node, demand, assumptions
        )
    except LayoutError as error:
        reasons.append(f"engines: {error}")
    if reasons or served is None:
        raise LayoutError("; ".join(reasons))
    typical = job._replace(sequence_length=min(demand.mean, job.sequence_length))
    update = make_plan(typical, longest.layout, assumptions)
    size = sum_parameters(job.shape).total * arithmetic_width(serving, gpu)
    return PracticePlan(
        devices=placement.num_ranks if serving.sleep else placement.num_ranks + wanted,
        served=served,
        update=update,
        forward=update.step.compute / 3 if forward else 0.0,
        transfer_bytes=size,
        transfer=_transfer_seconds(size, placement),
    )


def _fit_trainer(
    job: TrainingJob, placement: Placement, assumptions: Assumptions, fp8_storage: bool
) -> Plan:
    from dataclasses import replace

    try:
        layout = layout_of(placement.for_length(job.sequence_length))
    except ValueError as error:
        raise LayoutError(f"trainer: {error}") from None
    try:
        return make_plan(job, replace(layout, fp8_storage=fp8_storage), assumptions)
    except LayoutError as error:
        raise LayoutError(f"trainer: {error}") from None


def _transfer_seconds(size: float, placement: Placement) -> float:
    """All of the weights come to each device that needs them: nothing grows with their number.

    Where engines have GPUs of their own each takes what some of the trainer's ranks send, too, and
    passes it on in a ring.
    """
    device, serving = DEVICES[placement.gpu], placement.serving
    engines = serving.num_engines * serving.devices
    together = placement.num_ranks + (0 if serving.sleep else engines)
    link = device.fast_link if together <= placement.ranks_per_node else device.network
    return size / link * (1 if serving.sleep else 1 + 1 / engines)
