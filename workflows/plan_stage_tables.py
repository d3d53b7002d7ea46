"""What `k2 plan` prints of practice, examination and release, and of what training costs beside."""

from collections.abc import Sequence

from rich.table import Column, Table

from k2core.parallel.overheads import IMPORT_S, STORE_RATE
from k2core.parallel.plan import LayoutError
from k2core.parallel.practice import PracticePlan
from schemas.recipe import Recipe
from workflows.plan_stages import Beside, ExaminationPlan, StagePlans, longest_dialogue

_DAY = 86_400


def stages_table(recipe: Recipe, plans: StagePlans, mean_tokens: int | None) -> Table:
    """A line each: devices, what happens, how long it takes."""
    table = Table(
        "stage",
        Column("devices", justify="right"),
        Column("what", overflow="fold"),
        Column("days", justify="right"),
        title="practice, examination and release in the recipe's own placement",
        caption=_caption(recipe, mean_tokens),
    )
    rl, serving = plans.rl, recipe.placement.serving
    if isinstance(rl, LayoutError):
        table.add_row("rl", "", f"cannot run: {rl}", "")
    else:
        days = rl.seconds * plans.iterations / _DAY
        table.add_row("rl", f"{rl.devices:,}", _say_practice(rl, plans.iterations), f"{days:,.2f}")
    count = serving.num_engines * serving.devices
    if isinstance(plans.evaluate, LayoutError):
        table.add_row("evaluate", f"{count:,}", f"cannot run: {plans.evaluate}", "")
    else:
        days = plans.evaluate.seconds / _DAY
        table.add_row("evaluate", f"{count:,}", _say_examination(plans.evaluate), f"{days:,.2f}")
    if isinstance(plans.release, LayoutError):
        table.add_row("release", "1", f"cannot run: {plans.release}", "")
    else:
        what = f"{plans.release / 1e9:,.1f} GB in one process, for the proof of parity"
        table.add_row("release", f"{serving.devices:,}", what, "")
    return table


def _say_practice(plan: PracticePlan, iterations: int) -> str:
    parts = [
        f"{iterations:,} iterations of {plan.seconds:,.0f} s",
        f"rollouts {plan.served.seconds:,.0f} s ({plan.served.together} in flight an engine, "
        f"{plan.served.tokens_per_second:,.0f} tokens/s)",
        f"update {plan.update.step.seconds:,.1f} s on {plan.update.layout}",
        f"weights {plan.transfer_bytes / 1e9:,.1f} GB in {plan.transfer:,.1f} s",
    ]
    if plan.forward:
        parts.insert(2, f"the trainer's log p {plan.forward:,.1f} s")
    return ", ".join(parts)


def _say_examination(plan: ExaminationPlan) -> str:
    return (
        f"a checkpoint: {plan.load:,.0f} s to read it, {plan.served.seconds:,.0f} s of dialogues "
        f"at {plan.served.tokens_per_second:,.0f} tokens/s; {plan.served.weights / 1e9:.1f} GB of "
        "weights a device"
    )


def _caption(recipe: Recipe, mean_tokens: int | None) -> str:
    longest = longest_dialogue(recipe)
    mean = min(mean_tokens or longest // 2, longest)
    return (
        f"dialogues of {longest:,} tokens at most and {mean:,} on average (--rollout-tokens); "
        "decoding waits for memory at the kernels' share of its rate; judges and tools not counted"
    )


def beside_table(found: Sequence[Beside]) -> Table:
    """Feed, states and start of each training."""
    columns = ("rows a rank", "feed", "state", "copied", "in the store", "held up", "start")
    right = (Column(name, justify="right", overflow="fold") for name in columns)
    table = Table(
        "training",
        *right,
        title="besides steps",
        caption=f"the store at {STORE_RATE / 1e9:.0f} GB/s a node, imports {IMPORT_S:.0f} s; rows "
        "are read and states written by threads, behind steps; `held up`: of the time, by copies",
    )
    for name, every, step, o in found:
        behind = "" if o.write < every * step else " (longer than between two)"
        table.add_row(
            name,
            f"{o.feed_bytes / 1e6:,.1f} MB",
            f"{o.feed:.2f} s",
            f"{o.state_bytes / 1e9:,.1f} GB",
            f"{o.copy:,.1f} s",
            f"{o.write:,.0f} s{behind}",
            f"{o.copy / (every * step):.2%}",
            f"{o.start:,.0f} s",
        )
    return table
