"""What `k2 plan` prints: parameters, memory by kind, a step's time, layouts side by side."""

import json

from rich.console import Console
from rich.table import Column, Table

from k2core.model.counts import count_parameters, sum_parameters
from k2core.optim.registry import load_rule
from k2core.parallel import traffic
from k2core.parallel.hardware import DEVICES, USABLE_FRAC
from k2core.parallel.layout import Layout, num_micro_batches
from k2core.parallel.memory import held_by_stages
from k2core.parallel.plan import Assumptions, LayoutError, Plan, TrainingJob
from schemas.recipe import Recipe
from workflows.plan import (
    Training,
    Wish,
    find_plans,
    frame_of,
    job_of,
    memory_by_savings,
    plan_later,
    plan_own,
    plans_json,
    savings_of,
)
from workflows.plan_stage_tables import beside_table, stages_table
from workflows.plan_stages import every_of, plan_beside, plan_stages, stages_json

_SHOWN_LAYOUTS = 12
_WORDS = ("what", "layout", "saved by", "")


def print_plan(recipe: Recipe, wish: Wish, efficiency: float, *, fp8: bool, as_json: bool) -> None:
    """Plan all of a recipe that needs accelerators, and print it.

    Raises:
        UnfitError: it cannot run; says why.
    """
    frame = frame_of(recipe, wish)
    job, assumptions = job_of(recipe), Assumptions(efficiency, fp8)
    plans = find_plans(job, frame, wish.sizes(), assumptions)
    later = plan_later(recipe, plans[0].layout, wish, assumptions)
    own = plan_own(recipe, assumptions)
    others = plan_stages(recipe, assumptions, wish.rollout_tokens)
    if as_json:
        found = plans_json(job, plans, later, own, assumptions) | {"stages": stages_json(others)}
        print(json.dumps(found, indent=2))
        return
    console = Console()
    print_plans(console, recipe, plans, later, own, assumptions)
    console.print(stages_table(recipe, others, wish.rollout_tokens))
    beside = [
        plan_beside(t.name, t.job, t.found, every_of(recipe, t.name))
        for t in own
        if isinstance(t.found, Plan)
    ]
    if beside:
        console.print(beside_table(beside))


def print_plans(
    console: Console,
    recipe: Recipe,
    plans: list[Plan],
    later: list[Training],
    own: list[Training],
    assumptions: Assumptions,
) -> None:
    """The fastest plan in full, after the ranking where there are several."""
    job = job_of(recipe)
    console.print(parameters_table(job))
    if len(plans) > 1:
        console.print(layouts_table(plans))
    best = plans[0]
    console.print(memory_table(job, best.layout))
    console.print(time_table(job, best))
    every = [Training("pretrain", job, best), *later]
    console.print(trainings_table("its phases and finetuning, on the same stages", every))
    title = f"the recipe's own placement: {recipe.placement.num_ranks} {recipe.placement.gpu}"
    console.print(trainings_table(title, own))
    console.print(_assumed(job, best.layout, assumptions), highlight=False)


def parameters_table(job: TrainingJob) -> Table:
    """Total and active, by component."""
    table = _table("component", "parameters", "active", title="parameters, in millions")
    for name, count in count_parameters(job.shape).items():
        table.add_row(
            name.replace("_", " "), f"{count.total / 1e6:,.1f}", f"{count.active / 1e6:,.1f}"
        )
    total, active = sum_parameters(job.shape)
    table.add_section()
    table.add_row("all", f"{total / 1e6:,.1f}", f"{active / 1e6:,.1f}")
    return table


def layouts_table(plans: list[Plan]) -> Table:
    """The fastest layouts, side by side."""
    columns = ("layout", "activations", "GB", "tokens/s", "days", "MFU", "bubble", "exposed")
    shown = plans[:_SHOWN_LAYOUTS]
    title = f"{len(plans)} layouts can run; the {len(shown)} fastest"
    table = _table(*columns, title=title)
    for plan in shown:
        step = plan.step
        table.add_row(
            str(plan.layout),
            savings_of(plan.layout),
            f"{plan.fullest.device / 1e9:.1f}",
            f"{plan.tokens_per_second:,.0f}",
            f"{plan.days:,.1f}",
            f"{step.utilization:.1%}",
            f"{step.bubble_frac:.1%}",
            f"{step.exposed / step.seconds:.1%}",
        )
    return table


def memory_table(job: TrainingJob, layout: Layout) -> Table:
    """The fullest stage's GB a device, by kind, for each way to save activations."""
    limit = DEVICES[layout.gpu].memory * USABLE_FRAC / 1e9
    columns = ("weights", "gradients", "optimizer", "activations", "logits", "all", "on host", "")
    table = _table(
        "activations saved by",
        *columns,
        title=f"{layout}: GB a device, fullest stage, of {limit:.1f} usable",
        caption="weights and gradients are whole on each replica; the optimizer is dealt (ZeRO-1)",
    )
    for name, memory in memory_by_savings(job, layout):
        kinds = (*memory[:5], memory.device, memory.host)
        chosen = name == savings_of(layout)
        fits = "chosen" if chosen else ("" if memory.device / 1e9 <= limit else "too large")
        table.add_row(name, *(f"{kind / 1e9:.1f}" for kind in kinds), fits)
    return table


def time_table(job: TrainingJob, plan: Plan) -> Table:
    """Seconds of a step by cause, with the bytes behind them; then tokens and days."""
    layout, step = plan.layout, plan.step
    count = num_micro_batches(layout, job.batch_size)
    tokens = layout.micro_batch * job.sequence_length
    held, optimizer = held_by_stages(job.shape, layout), load_rule(job.optim)
    reduced = max(sum(traffic.gradients(h, layout, 2, optimizer)) for h in held)
    table = _table("a step", "seconds", "share", "what", title="time")
    rows = [
        ("compute", step.compute, f"{count} micro-batches of {tokens:,} tokens a replica"),
        ("exposed traffic", step.exposed, _exposed(job, plan)),
        ("bubble", step.bubble, f"{step.bubble_frac:.1%} of the pipeline"),
        ("gradients", step.gradients, f"{reduced / 1e9:.1f} GB a device, reduced and gathered"),
        ("Newton-Schulz", step.optimizer, "dealt over replicas"),
    ]
    for name, seconds, what in rows:
        table.add_row(name, f"{seconds:.2f}", f"{seconds / step.seconds:.1%}", what)
    table.add_section()
    table.add_row("all", f"{step.seconds:.2f}", "", f"{step.tokens / 1e6:,.1f} M tokens")
    table.add_row("MFU", f"{step.utilization:.1%}", "", "of the bf16 peak")
    speed = plan.tokens_per_second
    each = speed / layout.num_ranks
    table.add_row("tokens/s", f"{speed:,.0f}", "", f"{each:,.0f} a device")
    hours = (
        f"{plan.device_hours / 1e6:,.2f} M device hours for {plan.num_tokens / 1e12:,.2f} T tokens"
    )
    table.add_row("days", f"{plan.days:,.1f}", "", hours)
    return table


def _exposed(job: TrainingJob, plan: Plan) -> str:
    """What there is of traffic that may have to be waited for."""
    layout, step = plan.layout, plan.step
    tokens = layout.micro_batch * job.sequence_length // layout.cp
    a2a = traffic.all_to_all(job.shape, layout, tokens)
    lines = [
        f"of {step.all_to_all:.2f} s all-to-all: {a2a.inside / 1e6:,.0f} MB by the fast link, "
        f"{a2a.outside / 1e6:,.0f} MB by the network, a layer and way"
    ]
    if layout.cp > 1:
        shared = traffic.context_parallel(job.shape, layout, tokens)
        lines.append(
            f"{step.context:.2f} s of keys and values to context-parallel ranks, none hidden: "
            f"{sum(shared) / 1e6:,.0f} MB a layer and micro-batch"
        )
    if layout.offload:
        lines.append(
            f"of {step.offload:.2f} s of copies to the host and back, behind the passes' compute"
        )
    return "; ".join(lines)


def trainings_table(title: str, trainings: list[Training]) -> Table:
    """Schedule, phases and finetuning, each in its layout; days in all."""
    columns = ("tokens", "rows", "layout", "saved by", "GB", "tokens/s", "days")
    table = _table(
        "training",
        *columns,
        title=title,
        caption="tokens a row, rows a step",
    )
    for name, job, found in trainings:
        row = [name, f"{job.sequence_length:,}", f"{job.batch_size:,}"]
        if isinstance(found, LayoutError):
            table.add_row(*row, f"cannot run: {found}")
            continue
        table.add_row(
            *row,
            str(found.layout),
            savings_of(found.layout),
            f"{found.fullest.device / 1e9:.1f}",
            f"{found.tokens_per_second:,.0f}",
            f"{found.days:,.1f}",
        )
    table.add_section()
    days = sum(training.found.days for training in trainings if isinstance(training.found, Plan))
    table.add_row("all", *[""] * 6, f"{days:,.1f}")
    return table


def _assumed(job: TrainingJob, layout: Layout, assumptions: Assumptions) -> str:
    device = DEVICES[layout.gpu]
    compute = "FP8" if assumptions.fp8_compute else "bf16"
    peak = device.fp8_peak if assumptions.fp8_compute else device.peak
    hidden = "behind" if layout.virtual_stages > 1 else "not hidden behind"
    return (
        f"Assumed: {layout.num_ranks} {layout.gpu} of {device.memory / 1e9:.0f} GB and "
        f"{peak / 1e12:,.0f} {compute} TFLOP/s, {layout.ranks_per_node} a node joined at "
        f"{device.fast_link / 1e9:.0f} GB/s, {device.network / 1e9:.0f} GB/s to others and "
        f"{device.host_link / 1e9:.0f} GB/s to the host's memory; kernels at "
        f"{assumptions.efficiency:.0%} of the peak; weights in {job.precision}, gradients and "
        f"optimizer fp32; {1 - USABLE_FRAC:.0%} of the memory for the driver and fragments; even "
        f"routing; all-to-all {hidden} compute; no failures, checkpoints or evaluation."
    )


def _table(first: str, *columns: str, title: str, caption: str = "") -> Table:
    right = (
        Column(name, justify="left" if name in _WORDS else "right", overflow="fold")
        for name in columns
    )
    return Table(first, *right, title=title, caption=caption or None)
