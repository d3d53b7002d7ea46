"""Layouts that can run a job, the fastest first."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Literal, NamedTuple

from k2core.parallel.layout import Layout, size_misfits
from k2core.parallel.plan import Assumptions, LayoutError, Plan, TrainingJob, make_plan


class Savings(NamedTuple):
    """What a layout does to keep less of its activations."""

    recompute: Literal["none", "selective", "full"] = "none"
    fp8_storage: bool = False
    offload: bool = False

    def apply(self, layout: Layout) -> Layout:
        """The layout with these in place of its own."""
        return replace(
            layout, recompute=self.recompute, fp8_storage=self.fp8_storage, offload=self.offload
        )


SAVINGS = (
    Savings(),
    Savings("selective"),
    Savings("selective", fp8_storage=True),
    Savings("selective", fp8_storage=True, offload=True),
    Savings("full"),
    Savings("full", offload=True),
)
"""Ways to save activations, the cheapest in time first; K2 uses the fourth."""

_MOST_VIRTUAL_STAGES = 4
_LEAST_TOKENS = 4096
"""Of a sequence a rank, before more ranks are tried: with fewer, gathers outweigh compute."""


def fit_layout(job: TrainingJob, layout: Layout, assumptions: Assumptions) -> Plan:
    """The plan of a layout with the cp, virtual stages and savings that make it fastest.

    Args:
        job: what is to be trained.
        layout: sizes to keep; its savings are replaced, and a cp or virtual stages of 1 by
            whatever helps: cp is tried on sequences of 8,192 tokens and more.
        assumptions: as for `make_plan`.

    Raises:
        LayoutError: none can run; gives the reasons against the most saving one.
    """
    found: list[Plan] = []
    refusal = LayoutError("nothing was tried")
    for cp, virtual in product(_context_sizes(job, layout), _virtual_stages(job, layout)):
        for savings in SAVINGS:
            candidate = replace(savings.apply(layout), cp=cp, virtual_stages=virtual)
            try:
                found.append(make_plan(job, candidate, assumptions))
                break
            except LayoutError as error:
                if virtual in (1, layout.virtual_stages):
                    refusal = error
    if not found:
        raise refusal
    return min(found, key=lambda plan: plan.step.seconds)


def search_layouts(job: TrainingJob, frame: Layout, assumptions: Assumptions) -> list[Plan]:
    """Every layout of the frame's devices that can run, the fastest first.

    Args:
        job: what is to be trained.
        frame: devices, nodes and micro-batch; its parallel sizes are replaced.
        assumptions: as for `make_plan`.
    """
    found = []
    for candidate in _candidates(job, frame):
        try:
            found.append(fit_layout(job, candidate, assumptions))
        except LayoutError:
            continue
    return sorted(found, key=lambda plan: plan.step.seconds)


def _candidates(job: TrainingJob, frame: Layout) -> Iterator[Layout]:
    for pp in _divisors(frame.num_ranks):
        for tp in _divisors(frame.ranks_per_node):
            for ep in _divisors(job.shape.num_experts):
                if pp > job.shape.num_layers or tp * pp > frame.num_ranks:
                    continue
                layout = replace(frame, tp=tp, cp=1, pp=pp, ep=ep, virtual_stages=1)
                if not any(size_misfits(job.shape, layout)):
                    yield layout


def _context_sizes(job: TrainingJob, layout: Layout) -> list[int]:
    """Within a node, as far as sequences are long enough; the wanted one alone, if above 1."""
    if layout.cp > 1:
        return [layout.cp]
    most = min(layout.ranks_per_node // layout.tp, job.sequence_length // _LEAST_TOKENS)
    replicas = layout.num_ranks // (layout.tp * layout.pp)
    return [size for size in _divisors(replicas) if size <= max(most, 1)]


def _virtual_stages(job: TrainingJob, layout: Layout) -> range:
    if layout.virtual_stages > 1:
        return range(layout.virtual_stages, layout.virtual_stages + 1)
    most = min(_MOST_VIRTUAL_STAGES, job.shape.num_layers // layout.pp) if layout.pp > 1 else 1
    return range(1, max(most, 1) + 1)


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]
