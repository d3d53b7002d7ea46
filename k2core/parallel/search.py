"""Layouts that can run a job, the fastest first."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from k2core.parallel.layout import Layout, misfits
from k2core.parallel.plan import Assumptions, Job, LayoutError, Plan, make_plan

SAVINGS: list[dict[str, Any]] = [
    {},
    {"recompute": "selective"},
    {"recompute": "selective", "fp8_storage": True},
    {"recompute": "selective", "fp8_storage": True, "offload": True},
    {"recompute": "full"},
]
"""Ways to save activations, the cheapest in time first; K2 uses the fourth."""

_MOST_VIRTUAL_STAGES = 4


def fit_layout(job: Job, layout: Layout, assumptions: Assumptions) -> Plan:
    """The plan of a layout with the virtual stages and the savings that make it fastest.

    Args:
        job: what is to be trained.
        layout: sizes to keep; its savings, and a single virtual stage, are replaced.
        assumptions: as for `make_plan`.

    Raises:
        LayoutError: none can run; gives the reasons against the most saving one.
    """
    found: list[Plan] = []
    refusal = LayoutError("nothing was tried")
    wanted = layout.virtual_stages
    for virtual in [wanted] if wanted > 1 else _virtual_stages(job, layout):
        for savings in SAVINGS:
            candidate = replace(layout, virtual_stages=virtual, **savings)
            try:
                found.append(make_plan(job, candidate, assumptions))
                break
            except LayoutError as error:
                if virtual in (1, wanted):
                    refusal = error
    if not found:
        raise refusal
    return min(found, key=lambda plan: plan.step.seconds)


def search_layouts(job: Job, frame: Layout, assumptions: Assumptions) -> list[Plan]:
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


def _candidates(job: Job, frame: Layout) -> Iterator[Layout]:
    for pp in _divisors(frame.num_ranks):
        for tp in _divisors(frame.ranks_per_node):
            for ep in _divisors(job.shape.num_experts):
                if pp > job.shape.num_layers or tp * pp > frame.num_ranks:
                    continue
                layout = replace(frame, tp=tp, pp=pp, ep=ep, virtual_stages=1)
                if not any(misfits(job.shape, layout, job.batch_size)):
                    yield layout


def _virtual_stages(job: Job, layout: Layout) -> range:
    most = min(_MOST_VIRTUAL_STAGES, job.shape.num_layers // layout.pp) if layout.pp > 1 else 1
    return range(1, max(most, 1) + 1)


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]
