"""`k2 plan` beyond training: practice, examination and release, each in the recipe's placement."""

from typing import NamedTuple

from k2core.model.counts import sum_parameters
from k2core.parallel.hardware import DEVICES
from k2core.parallel.overheads import STORE_RATE, Overheads, plan_overheads
from k2core.parallel.plan import Assumptions, LayoutError, Plan, TrainingJob
from k2core.parallel.practice import PracticePlan, plan_practice
from k2core.parallel.serving import Demand, MetDemand, plan_serving
from schemas.evaluate import CHECKPOINTS
from schemas.recipe import Recipe

HOST_BYTES_A_RANK = 200 * 2**30
"""Of host memory, a GPU of a node (`infra/pools.py`)."""


class ExaminationPlan(NamedTuple):
    """Of all checkpoints."""

    served: MetDemand
    """One checkpoint's dialogues."""
    load: float
    """Seconds to read one checkpoint's weights."""

    @property
    def seconds(self) -> float:
        """One checkpoint after another."""
        return len(CHECKPOINTS) * (self.served.seconds + self.load)


class Beside(NamedTuple):
    """What a training costs besides its steps."""

    name: str
    every: int
    """Steps between states."""
    step: float
    """Seconds."""
    found: Overheads


class StagePlans(NamedTuple):
    """Each as planned, or why it cannot run."""

    rl: PracticePlan | LayoutError
    iterations: int
    evaluate: ExaminationPlan | LayoutError
    release: float | LayoutError
    """Bytes that its one process holds."""


def practice_job(recipe: Recipe) -> TrainingJob:
    """An update of RL: all samples, each as long as the longest dialogue."""
    rl = recipe.rl
    rows = rl.problems_per_iteration * rl.samples_per_problem
    return TrainingJob(
        shape=recipe.model,
        batch_size=-(-rows // rl.updates_per_iteration)
        + (rl.ptx_dialogues if rl.ptx_weight else 0),
        sequence_length=longest_dialogue(recipe),
        num_steps=rl.num_iterations * rl.updates_per_iteration,
        precision=rl.optim.precision,
        optim=rl.optim,
    )


def longest_dialogue(recipe: Recipe) -> int:
    """Tokens of RL's longest rows."""
    context = recipe.model.max_position_embeddings
    return min(context, recipe.rl.max_tokens or context)


def plan_rl(
    recipe: Recipe, assumptions: Assumptions, mean_tokens: int | None = None
) -> PracticePlan:
    """An iteration of RL.

    Args:
        recipe: whose.
        assumptions: as for `make_plan`.
        mean_tokens: of a dialogue; None: half of the longest.

    Raises:
        LayoutError: trainer and engines cannot run it.
    """
    rl, longest = recipe.rl, longest_dialogue(recipe)
    dialogues = rl.problems_per_iteration * rl.samples_per_problem * (1 + rl.refill_rounds)
    demand = Demand(dialogues, longest, min(mean_tokens or longest // 2, longest), rl.max_num_seqs)
    return plan_practice(
        practice_job(recipe),
        recipe.placement,
        demand,
        assumptions,
        forward=rl.old_logprobs == "trainer",
        fp8_storage=rl.optim.fp8_storage,
    )


def plan_evaluation(
    recipe: Recipe, assumptions: Assumptions, mean_tokens: int | None = None
) -> ExaminationPlan:
    """All held-out problems, by each checkpoint in turn.

    Raises:
        LayoutError: the engines cannot hold the model.
    """
    place, config, problems = recipe.placement, recipe.evaluate, recipe.problems
    longest = recipe.model.max_position_embeddings
    asked = problems.held_out_per_family * sum(weight > 0 for weight in problems.weights.values())
    demand = Demand(
        asked * config.samples_per_problem,
        longest,
        min(mean_tokens or longest_dialogue(recipe) // 2, longest),
        config.max_num_seqs,
    )
    served = plan_serving(
        recipe.model, place.serving, place.gpu, place.ranks_per_node, demand, assumptions
    )
    # each worker reads the whole checkpoint, fp32, and keeps its part; a node's share the way
    per_node = min(place.ranks_per_node, place.serving.num_engines * place.serving.devices)
    size = sum_parameters(recipe.model).total * 4
    return ExaminationPlan(served, size * per_node / STORE_RATE)


def plan_release(recipe: Recipe) -> float:
    """Bytes that the proof of parity holds in one process.

    Raises:
        LayoutError: more than a node has.
    """
    place = recipe.placement
    total = sum_parameters(recipe.model).total
    needed = float(total * 4)
    host = DEVICES["cpu"].memory * place.num_ranks
    if place.gpu != "cpu":
        host = float(HOST_BYTES_A_RANK * place.ranks_per_node)
    if needed > host:
        raise LayoutError(
            f"the proof of parity holds the model in fp32 in one process, as transformers does: "
            f"{needed / 1e9:,.0f} GB, and a node has {host / 1e9:,.0f} GB"
        )
    exact = place.serving.model_copy(update={"num_engines": 1, "dtype": "float32"})
    config = recipe.release
    length = min(64, max(config.parity_windows)) + config.num_greedy_tokens
    demand = Demand(1, length, length, 1)
    plan_serving(recipe.model, exact, place.gpu, place.ranks_per_node, demand, Assumptions())
    return needed


def plan_stages(recipe: Recipe, assumptions: Assumptions, mean_tokens: int | None) -> StagePlans:
    """All of them, refused ones with their reasons."""
    rl: PracticePlan | LayoutError
    evaluation: ExaminationPlan | LayoutError
    release: float | LayoutError
    try:
        rl = plan_rl(recipe, assumptions, mean_tokens)
    except LayoutError as error:
        rl = error
    try:
        evaluation = plan_evaluation(recipe, assumptions, mean_tokens)
    except LayoutError as error:
        evaluation = error
    try:
        release = plan_release(recipe)
    except LayoutError as error:
        release = error
    return StagePlans(rl, recipe.rl.num_iterations, evaluation, release)


def plan_beside(name: str, job: TrainingJob, found: Plan, every: int) -> Beside:
    """Feed, states and start of a training."""
    overheads = plan_overheads(found, job)
    return Beside(name, every, found.step.seconds, overheads)


def every_of(recipe: Recipe, training: str) -> int:
    """Steps between a training's states."""
    return (recipe.sft if training == "sft" else recipe.pretrain).checkpoint_every


def stages_json(plans: StagePlans) -> dict[str, object]:
    """The same in base units."""
    found: dict[str, object] = {"iterations": plans.iterations}
    for name in ("rl", "evaluate", "release"):
        plan = getattr(plans, name)
        if isinstance(plan, LayoutError):
            found[name] = {"refused": str(plan)}
        elif isinstance(plan, PracticePlan):
            found[name] = {
                "devices": plan.devices,
                "seconds": plan.seconds,
                "rollouts": plan.served._asdict(),
                "update": plan.update.step.seconds,
                "forward": plan.forward,
                "transfer_bytes": plan.transfer_bytes,
                "transfer": plan.transfer,
            }
        elif isinstance(plan, ExaminationPlan):
            served = plan.served._asdict()
            found[name] = {"seconds": plan.seconds, "load": plan.load, "checkpoint": served}
        else:
            found[name] = {"bytes": plan}
    return found
