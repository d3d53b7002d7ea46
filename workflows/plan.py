"""`k2 plan`: what a recipe's trainings need on given machines, before any is asked for."""

from dataclasses import replace
from typing import Any, NamedTuple, cast

from k2core.model.counts import count_parameters, sum_parameters
from k2core.parallel.hardware import DEVICES
from k2core.parallel.layout import Layout, layout_of
from k2core.parallel.memory import Memory
from k2core.parallel.plan import (
    Assumptions,
    LayoutError,
    Plan,
    TrainingJob,
    check_placement,
    make_plan,
    memory_in,
)
from k2core.parallel.search import SAVINGS, Savings, fit_layout, search_layouts
from schemas.recipe import Recipe
from workflows.errors import MendableError
from workflows.plan_stages import plan_evaluation, plan_rl


class UnfitError(MendableError):
    """A placement or layout that cannot run; the message gives every reason."""


def job_of(recipe: Recipe) -> TrainingJob:
    """A recipe's pre-training, but for its phases."""
    config = recipe.pretrain
    return TrainingJob(
        shape=recipe.model,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        num_steps=config.schedule.num_steps,
        precision=config.optim.precision,
        optim=config.optim,
    )


def jobs_of(recipe: Recipe) -> dict[str, TrainingJob]:
    """The same, its phases and finetuning, whose longer sequences need more memory."""
    config, first = recipe.pretrain, job_of(recipe)
    jobs = (
        {}
        if "pretrain" not in recipe.stages
        else {"pretrain": first}
        | {
            f"pretrain, {phase.name}": first._replace(
                batch_size=config.batch_of(phase),
                sequence_length=config.length_of(phase),
                num_steps=config.steps_of(phase),
            )
            for phase in config.phases
        }
    )
    sft = recipe.sft
    jobs["sft"] = first._replace(
        batch_size=sft.batch_size,
        sequence_length=sft.sequence_length,
        num_steps=sft.schedule.num_steps,
        precision=sft.optim.precision,
        optim=sft.optim,
    )
    return jobs


def refuse_unfit(recipe: Recipe) -> None:
    """Stop before any pool is asked for where the recipe's placement cannot run it.

    Raises:
        UnfitError: names the stage or phase and gives every reason.
    """
    for name, job in jobs_of(recipe).items():
        optim = recipe.sft.optim if name == "sft" else recipe.pretrain.optim
        try:
            check_placement(job, recipe.placement, fp8_storage=optim.fp8_storage)
        except LayoutError as error:
            raise UnfitError(f"{name}: {error}. `k2 plan` ranks what would run") from None
    for name, plan in (("rl", plan_rl), ("evaluate", plan_evaluation)):
        try:
            plan(recipe, Assumptions())
        except LayoutError as error:
            raise UnfitError(f"{name}: {error}") from None


def refuse_absent(recipe: Recipe) -> None:
    """Stop a run on this machine if it has not the accelerators of the recipe's placement.

    Raises:
        UnfitError: says how many it has, and what runs elsewhere.
    """
    place = recipe.placement
    if place.gpu == "cpu":
        return
    import torch

    here, serving = torch.cuda.device_count(), place.serving
    needed = place.num_ranks
    if not serving.sleep:
        needed += serving.num_engines * serving.devices
    if here < needed:
        raise UnfitError(
            f"recipe {recipe.name!r} is placed on {needed} {place.gpu} and this machine "
            f"has {here}: `k2 plan --recipe {recipe.name}` says what it needs, `make deploy` "
            "registers it with a Flyte cluster that has them; `--recipe tiny` runs here"
        )


class Wish(NamedTuple):
    """What the command line asks for; None is the recipe's, or free."""

    nodes: int | None = None
    gpus_per_node: int | None = None
    gpu: str | None = None
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    cp: int | None = None
    virtual_stages: int | None = None
    micro_batch: int | None = None
    rollout_tokens: int | None = None

    def sizes(self) -> dict[str, int]:
        """The parallel sizes that are wanted."""
        names = ("tp", "cp", "pp", "ep", "virtual_stages")
        named = {name: getattr(self, name) for name in names}
        return {name: size for name, size in named.items() if size is not None}


def frame_of(recipe: Recipe, wish: Wish) -> Layout:
    """The devices to plan for: the recipe's, but for what is wished.

    Raises:
        UnfitError: no such device.
    """
    place = recipe.placement
    gpu = wish.gpu or place.gpu
    if gpu not in DEVICES:
        raise UnfitError(f"no gpu {gpu!r}; there are {', '.join(DEVICES)}")
    per_node = wish.gpus_per_node or place.ranks_per_node
    count = place.num_ranks if wish.nodes is None else wish.nodes * per_node
    return Layout(
        num_ranks=count,
        gpu=gpu,
        ranks_per_node=min(per_node, count),
        micro_batch=wish.micro_batch or place.micro_batch,
    )


def find_plans(
    job: TrainingJob, frame: Layout, sizes: dict[str, int], assumptions: Assumptions
) -> list[Plan]:
    """The plan of the given sizes, or, where none is given, of every layout that can run.

    Args:
        job: what is to be trained.
        frame: devices, nodes, micro-batch.
        sizes: of `tp`, `cp`, `pp`, `ep` and `virtual_stages` those that are wanted; of the others
            tp, pp and ep are 1, and activations are saved only as far as it takes to fit.
        assumptions: as for `make_plan`.

    Raises:
        UnfitError: nothing can run.
    """
    if sizes:
        try:
            return [fit_layout(job, replace(frame, **cast(Any, sizes)), assumptions)]
        except LayoutError as error:
            raise UnfitError(str(error)) from None
    found = search_layouts(job, frame, assumptions)
    if not found:
        raise UnfitError(
            f"no layout of {frame.num_ranks} {frame.gpu} ({frame.ranks_per_node} a node) can hold "
            f"{sum_parameters(job.shape).total / 1e9:,.1f} B parameters in training: ask for more "
            "or larger devices"
        )
    return found


class Training(NamedTuple):
    """The schedule, a phase or finetuning in a layout."""

    name: str
    job: TrainingJob
    found: Plan | LayoutError
    """Why it cannot run there, if it cannot."""


def plan_later(
    recipe: Recipe, layout: Layout, wish: Wish, assumptions: Assumptions
) -> list[Training]:
    """Plans of the phases and of finetuning: tp, pp and ep kept, for their states lie so.

    Context-parallel ranks, virtual stages and what saves activations are chosen for each, but
    for those wished.
    """
    frame = replace(layout, cp=wish.cp or 1, virtual_stages=wish.virtual_stages or 1)
    later = []
    for name, job in list(jobs_of(recipe).items())[1:]:
        found: Plan | LayoutError
        try:
            found = fit_layout(job, frame, assumptions)
        except LayoutError as error:
            found = error
        later.append(Training(name, job, found))
    return later


def plan_own(recipe: Recipe, assumptions: Assumptions) -> list[Training]:
    """Plans of all trainings in the recipe's own placement, as the engine runs them."""
    own = []
    for name, job in jobs_of(recipe).items():
        optim = recipe.sft.optim if name == "sft" else recipe.pretrain.optim
        found: Plan | LayoutError
        try:
            layout = layout_of(recipe.placement.for_length(job.sequence_length))
            layout = replace(layout, fp8_storage=optim.fp8_storage)
            found = make_plan(job, layout, assumptions)
        except ValueError as error:
            found = LayoutError(str(error))
        own.append(Training(name, job, found))
    return own


def memory_by_savings(job: TrainingJob, layout: Layout) -> list[tuple[str, Memory]]:
    """The fullest stage's memory under each way to save activations."""
    rows = []
    for savings in SAVINGS:
        stages = memory_in(job, savings.apply(layout))
        rows.append((name_savings(savings), max(stages, key=lambda memory: memory.device)))
    return rows


def name_savings(savings: Savings) -> str:
    """`selective + FP8 storage + offload`."""
    parts: list[str] = [savings.recompute]
    parts += ["FP8 storage"] if savings.fp8_storage else []
    parts += ["offload"] if savings.offload else []
    return "keep all" if parts == ["none"] else " + ".join(parts)


def savings_of(layout: Layout) -> str:
    """The same, of a layout."""
    return name_savings(Savings(layout.recompute, layout.fp8_storage, layout.offload))


def plans_json(
    job: TrainingJob,
    plans: list[Plan],
    later: list[Training],
    own: list[Training],
    assumptions: Assumptions,
) -> dict[str, object]:
    """Everything that the tables show, in base units: bytes, seconds, FLOP/s."""
    total, active = sum_parameters(job.shape)
    return {
        "parameters": {
            "total": total,
            "active": active,
            "by_component": {n: c._asdict() for n, c in count_parameters(job.shape).items()},
        },
        "job": {
            **job._asdict(),
            "shape": job.shape.model_dump(),
            "optim": job.optim.model_dump(),
            "num_tokens": job.num_tokens,
        },
        "assumptions": assumptions._asdict(),
        "device": DEVICES[plans[0].layout.gpu]._asdict(),
        "plans": [_plan_json(plan) for plan in plans],
        "later": [_training_json(training) for training in later],
        "own_placement": [_training_json(training) for training in own],
    }


def _training_json(training: Training) -> dict[str, object]:
    name, job, found = training
    sizes = {key: value for key, value in job._asdict().items() if key not in ("shape", "optim")}
    return {
        "name": name,
        "job": {**sizes, "optim": job.optim.model_dump(), "num_tokens": job.num_tokens},
        "plan": _plan_json(found) if isinstance(found, Plan) else None,
        "refused": str(found) if isinstance(found, LayoutError) else None,
    }


def _plan_json(plan: Plan) -> dict[str, object]:
    return {
        "layout": {**vars(plan.layout), "dp": plan.layout.dp, "expert_dp": plan.layout.expert_dp},
        "stages": [{**m._asdict(), "device": m.device} for m in plan.stages],
        "step": {
            **plan.step._asdict(),
            "seconds": plan.step.seconds,
            "bubble_frac": plan.step.bubble_frac,
        },
        "tokens_per_second": plan.tokens_per_second,
        "days": plan.days,
        "device_hours": plan.device_hours,
    }
