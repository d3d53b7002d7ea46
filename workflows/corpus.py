"""A corpus alone: somebody's text collected, cleaned and, if asked for, tokenized and learned."""

from typing import Literal

from infra.lineage import pipeline_run
from infra.pools import DRIVER, within
from schemas.artifacts import CleanCorpus
from schemas.base import Artifact
from schemas.ingest import FilesConfig, IngestConfig
from schemas.recipe import Recipe
from tasks.clean import clean
from tasks.ingest import ingest
from tasks.pretrain import pretrain
from tasks.tokenize import tokenize
from workflows.chain import Chain, flyte_run_name
from workflows.launch import run_task
from workflows.overrides import change
from workflows.stages import recipe_inputs

Through = Literal["clean", "tokenize", "pretrain"]
STAGES: tuple[str, ...] = ("ingest", "clean", "tokenize", "pretrain")


@DRIVER.task(timeout=within(days=60))
async def corpus(recipe: Recipe, through: Through) -> CleanCorpus:
    """Make a corpus of a recipe's sources, and no model but a base model of it.

    Args:
        recipe: of its stages those up to `through` are used; nothing is rewritten.
        through: the last of them.
    """
    stages = STAGES[: STAGES.index(through) + 1]
    about = recipe.model_dump(mode="json")
    with pipeline_run(flyte_run_name(), about, len(stages), through=through):
        chain = Chain()
        raw = await chain(ingest, **recipe_inputs(ingest, recipe))
        text = await chain(clean, **recipe_inputs(clean, recipe), raw=raw)
        if "tokenize" in stages:
            tokens = await chain(tokenize, **recipe_inputs(tokenize, recipe), clean=text)
        if "pretrain" in stages:
            fitted = fit_steps(recipe, tokens)
            await chain(pretrain, **recipe_inputs(pretrain, fitted), tokens=tokens)
        return text


def make_corpus(recipe: Recipe, through: Through) -> str:
    """Run it here; returns the run's name."""
    from k2core.engines.ray import keep_engines

    with keep_engines():
        return run_task(recipe.name, corpus, recipe=recipe, through=through)[0]


def corpus_recipe(base: Recipe, sources: tuple[FilesConfig, ...], settings: list[str]) -> Recipe:
    """A recipe of these sources alone, all of whose text is read once; settings go before that.

    Without sources it is the base as it is.

    Raises:
        BadRecipeError: a setting is wrong.
    """
    if not sources:
        return change(base, settings)
    nums = {name: 0 for name in IngestConfig.model_fields if name.startswith("num_")}
    own = base.ingest.model_copy(update={**nums, "files": sources})
    tokens = base.tokenize.model_copy(update={"mixture": {}, "train_tokens": None})
    none = base.rephrase.model_copy(update={"documents": {}})
    named = base.model_copy(update={"name": "data"})
    return change(named, settings, {"ingest": own, "tokenize": tokens, "rephrase": none})


def fit_steps(recipe: Recipe, tokens: Artifact) -> Recipe:
    """As many steps of the base model as it asks for, or as the tokens give.

    A domain ends in whole rows.

    Args:
        recipe: with any number of steps.
        tokens: a token corpus, as it came from a stage or as it is recorded.
    """
    config, num_domains = recipe.pretrain, len(recipe.ingest.domains)
    windows = int(tokens.counts["train_tokens"]) // config.sequence_length - num_domains
    num_steps = max(1, min(config.schedule.num_steps, windows // config.batch_size))
    schedule = config.schedule.model_copy(update={"num_steps": num_steps})
    fitted = config.model_copy(update={"schedule": schedule})
    return recipe.model_copy(update={"pretrain": fitted})
