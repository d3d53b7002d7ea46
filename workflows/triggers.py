"""What starts by itself: at night, and on what a stage that was launched alone has made.

Flyte's backend fires them; docs/console.md says what it must have for that.
"""

from typing import TypeVar

from flyte import Cron, OnArtifact, Trigger, TriggeredArtifact

from infra.index import Index
from infra.notices import failure_notice
from infra.pools import DRIVER, within
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, RlResult, TokenCorpus
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.problems import ProblemsConfig
from schemas.recipe import Recipe
from tasks.clean import clean
from tasks.evaluate import evaluate
from tasks.tokenize import tokenize
from workflows.chain import Chain
from workflows.errors import NotRecordedError
from workflows.find import LATEST, find_pipeline, recipe_of, records_of
from workflows.stages import recipe_inputs, task_of

A = TypeVar("A", bound=Artifact)


@DRIVER.task(
    timeout=within(days=3),
    triggers=Trigger(
        "nightly",
        Cron("0 3 * * *"),
        description="Every night at 3: grade the newest release, unless this code has done so.",
        notifications=failure_notice(),
    ),
)
async def evaluate_newest(run: str = LATEST) -> Evaluation:
    """Grade a run's models again, as its recipe says and with the code that is deployed.

    Args:
        run: A pipeline's run, or the beginning of its name; latest: the newest that ended well.
    """
    pipeline = find_pipeline(run)
    records, task = records_of(pipeline), task_of("evaluate")
    if "evaluate" not in records:
        raise NotRecordedError(f"run {pipeline.name} evaluated nothing")
    kinds, given = task.native_interface.inputs, records["evaluate"].inputs
    chosen = {name: _as(kind, given[name]) for name, (kind, _) in kinds.items() if name in given}
    return await Chain()(evaluate, **recipe_inputs(task, recipe_of(pipeline)), **chosen)


@DRIVER.task(
    timeout=within(days=7),
    triggers=Trigger(
        "on_corpus",
        OnArtifact("ingest"),
        inputs={"raw": TriggeredArtifact},
        description="When k2.ingest has collected a corpus: clean and tokenize it.",
        notifications=failure_notice(),
    ),
)
async def clean_and_tokenize(raw: RawCorpus, like: str = LATEST) -> TokenCorpus:
    """Clean a corpus and tokenize what is kept, without rewrites.

    Args:
        raw: Documents as they were collected.
        like: The run whose recipe says how; latest: the newest that ended well, or tiny.
    """
    chain, r = Chain(), _recipe_like(like)
    text = await chain(clean, config=r.clean, problems=r.problems, raw=raw, placement=r.placement)
    return await chain(tokenize, config=r.tokenize, clean=text)


@DRIVER.task(
    timeout=within(days=3),
    triggers=Trigger(
        "on_policy",
        OnArtifact("rl"),
        inputs={"made": TriggeredArtifact},
        description="When k2.rl has trained a policy: grade it beside what it came from.",
        notifications=failure_notice(),
    ),
)
async def evaluate_policy(made: RlResult, like: str = LATEST) -> Evaluation:
    """Grade a policy, the model that it was finetuned from and the base, on the policy's problems.

    Args:
        made: What reinforcement learning made.
        like: The run whose recipe says which examinations; latest: the newest that ended well.
    """
    with Index() as index:
        trained = _maker(index, made.policy, "sft")
        tuned = _maker(index, trained.inputs["sft"], "base")
        base = _maker(index, tuned.inputs["base"], "tokens")
    problems = ProblemsConfig.model_validate(trained.configs["problems"])
    recipe = _recipe_like(like)
    return await Chain()(
        evaluate,
        config=recipe.evaluate,
        problems=problems,
        base=_as(Checkpoint, tuned.inputs["base"]),
        sft=_as(Checkpoint, trained.inputs["sft"]),
        policy=made.policy,
        tokens=_as(TokenCorpus, base.inputs["tokens"]),
        placement=recipe.placement,
    )


def _recipe_like(run: str) -> Recipe:
    """A recorded run's; tiny's, where nothing is recorded and nothing was asked for."""
    try:
        return recipe_of(find_pipeline(run))
    except NotRecordedError:
        if run != LATEST:
            raise
        return Recipe()


def _maker(index: Index, artifact: Artifact, needed: str) -> LineageRecord:
    """The record of the stage that made an artifact out of another."""
    made = index.maker(artifact.digest)
    if made is None or needed not in made.record.inputs:
        how = "nobody recorded" if made is None else f"{made.record.stage} made without {needed}"
        raise NotRecordedError(
            f"{artifact.kind} {artifact.digest} is one that {how}: launch k2.evaluate and pick "
            "what to grade"
        )
    return made.record


def _as(kind: type[A], artifact: Artifact) -> A:
    return kind.model_validate(artifact.model_dump())


TRIGGERED = (evaluate_newest, clean_and_tokenize, evaluate_policy)
"""Tasks that start by themselves."""
