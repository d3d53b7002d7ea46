"""What starts by itself: at night, and on what a stage that was launched alone has made.

Flyte's backend fires them; docs/console.md says what it must have for that.
"""

from collections.abc import Mapping

from flyte import Cron, OnArtifact, Trigger, TriggeredArtifact

from infra.index import RunIndex
from infra.notices import failure_notice
from infra.pools import DRIVER, within
from schemas.artifacts import Evaluation, RawCorpus, RlResult, TokenCorpus
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

_STARTS = {
    name: Trigger(
        name,
        when,
        inputs={given: TriggeredArtifact} if given else None,
        description=words,
        notifications=failure_notice(),
    )
    for name, when, given, words in (
        (
            "nightly",
            Cron("0 3 * * *"),
            "",
            "Every night at 3: grade the newest release, unless this code has done so.",
        ),
        (
            "on_corpus",
            OnArtifact("ingest"),
            "raw",
            "When k2.ingest has collected a corpus: clean and tokenize it.",
        ),
        (
            "on_policy",
            OnArtifact("rl"),
            "made",
            "When k2.rl has trained a policy: grade it beside what it came from.",
        ),
    )
}
"""By name; what starts one may be given to the task as its artifact."""


@DRIVER.task(
    timeout=within(days=3),
    triggers=_STARTS["nightly"],
)
async def evaluate_newest(run: str = LATEST) -> Evaluation:
    """Grade a run's models again, as its recipe says and with the code that is deployed.

    Args:
        run: A pipeline's run, or the beginning of its name; latest: the newest that ended well.
    """
    pipeline = find_pipeline(run)
    records = records_of(pipeline)
    if "evaluate" not in records:
        raise NotRecordedError(f"run {pipeline.name} evaluated nothing")
    given = {name: one for record in records.values() for name, one in record.inputs.items()}
    return await _evaluate(recipe_of(pipeline), given)


@DRIVER.task(
    timeout=within(days=7),
    triggers=_STARTS["on_corpus"],
)
async def clean_and_tokenize(raw: RawCorpus, like: str = LATEST) -> TokenCorpus:
    """Clean a corpus and tokenize what is kept, without rewrites.

    Args:
        raw: Documents as they were collected.
        like: The run whose recipe says how; latest: the newest that ended well, or tiny.
    """
    chain, recipe = Chain(), _recipe_like(like)
    text = await chain(clean, raw=raw, **recipe_inputs(task_of("clean"), recipe))
    return await chain(tokenize, clean=text, **recipe_inputs(task_of("tokenize"), recipe))


@DRIVER.task(
    timeout=within(days=3),
    triggers=_STARTS["on_policy"],
)
async def evaluate_policy(made: RlResult, like: str = LATEST) -> Evaluation:
    """Grade a policy, the model that it was finetuned from and the base, on the policy's problems.

    Args:
        made: What reinforcement learning made.
        like: The run whose recipe says which examinations; latest: the newest that ended well.
    """
    with RunIndex() as index:
        trained = _maker(index, made.policy, "sft")
        tuned = _maker(index, trained.inputs["sft"], "base")
        base = _maker(index, tuned.inputs["base"], "tokens")
    recipe = _recipe_like(like)
    problems = ProblemsConfig.model_validate(trained.configs["problems"])
    given = {**base.inputs, **tuned.inputs, **trained.inputs, "policy": made.policy}
    return await _evaluate(recipe.model_copy(update={"problems": problems}), given)


async def _evaluate(recipe: Recipe, given: Mapping[str, Artifact]) -> Evaluation:
    """Grade what stages were given by the names that evaluate asks for."""
    task = task_of("evaluate")
    chosen = {
        name: kind.model_validate(given[name].model_dump())
        for name, (kind, _) in task.native_interface.inputs.items()
        if name in given
    }
    return await Chain()(evaluate, **recipe_inputs(task, recipe), **chosen)


def _recipe_like(run: str) -> Recipe:
    """A recorded run's; tiny's, where nothing is recorded and nothing was asked for."""
    try:
        return recipe_of(find_pipeline(run))
    except NotRecordedError:
        if run != LATEST:
            raise
        return Recipe()


def _maker(index: RunIndex, artifact: Artifact, needed: str) -> LineageRecord:
    """The record of the stage that made an artifact out of another."""
    made = index.maker(artifact.digest)
    if made is None or needed not in made.record.inputs:
        how = "nobody recorded" if made is None else f"{made.record.stage} made without {needed}"
        raise NotRecordedError(
            f"{artifact.kind} {artifact.digest} is one that {how}: launch k2.evaluate and pick "
            "what to grade"
        )
    return made.record


TRIGGERED = (evaluate_newest, clean_and_tokenize, evaluate_policy)
"""Tasks that start by themselves."""
