"""The whole pipeline on one page: raw text to a released, evaluated agent.

flyte run --local workflows/k2.py k2 --recipe '{}'
"""

from collections.abc import Sequence
from functools import partial

from infra.lineage import pipeline_run
from infra.outbox import post_for
from infra.pools import DRIVER, within
from infra.registry import register_models
from schemas.artifacts import Release
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe
from tasks.adopt import adopt
from tasks.clean import clean
from tasks.evaluate import evaluate
from tasks.ingest import ingest
from tasks.pretrain import pretrain
from tasks.release import release
from tasks.rephrase import rephrase
from tasks.rl import rl
from tasks.sft import sft
from tasks.synthesize import synthesize
from tasks.tokenize import tokenize
from workflows.chain import Chain, flyte_run_name
from workflows.measures import read_measures
from workflows.pages.write import show_page

_TINY = Recipe()


@DRIVER.task(timeout=within(days=180), report=True)
async def k2(recipe: Recipe = _TINY, recorded: list[LineageRecord] | None = None) -> Release:
    """Make, evaluate and release a model.

    Args:
        recipe: One section a stage.
        recorded: Work already done, e.g. by the run that this one repeats in part; equal work
            is not done again.
    """
    return await run_recipe(recipe, recorded or [])


async def run_recipe(recipe: Recipe, recorded: Sequence[LineageRecord] = ()) -> Release:
    """The pipeline as one recorded run."""
    about = recipe.model_dump(mode="json")
    with pipeline_run(flyte_run_name(), about, len(recipe.stages)) as parent:
        chain = Chain(recorded)
        released = await make_model(recipe, chain)
        found = chain.records, read_measures(chain.records)
        post_for(flyte_run_name(), partial(register_models, parent, recipe.name, *found))
    await show_page(flyte_run_name())
    return released


async def make_model(r: Recipe, chain: Chain) -> Release:
    """The stages and what flows between them; then those that only look on."""
    place = r.placement

    # Text: collect, clean.
    raw = await chain(ingest, config=r.ingest, placement=place)
    text = await chain(clean, config=r.clean, problems=r.problems, raw=raw, placement=place)
    mixed: dict[str, object] = {"config": r.tokenize, "clean": text, "placement": place}

    # The base model: brought with its tokenizer, or trained with MuonClip on texts and rewrites.
    if r.adopt.source:
        base = await chain(adopt, config=r.adopt, shape=r.model)
        tokens = await chain(tokenize, **mixed, tokenizer=base)
    else:
        if "rephrase" in r.stages:
            rewriting = chain(rephrase, config=r.rephrase, clean=text, placement=place)
            mixed["rephrased"] = await rewriting
        tokens = await chain(tokenize, **mixed)
        base = await chain(
            pretrain, config=r.pretrain, shape=r.model, tokens=tokens, placement=place
        )

    # The agent: trajectories, imitation, then reinforcement on what can be verified.
    dialogues = await chain(synthesize, config=r.synthesize, problems=r.problems, placement=place)
    tuned = await chain(sft, config=r.sft, base=base, trajectories=dialogues, placement=place)
    learned = await chain(
        rl,
        config=r.rl,
        problems=r.problems,
        sft=tuned,
        trajectories=dialogues,
        placement=place,
    )

    # What it can do, and what goes out.
    scores = await chain(
        evaluate,
        config=r.evaluate,
        problems=r.problems,
        base=base,
        sft=tuned,
        policy=learned.policy,
        tokens=tokens,
        trajectories=dialogues,
        placement=place,
    )
    released = await chain(
        release,
        config=r.release,
        base=base,
        policy=learned.policy,
        evaluation=scores,
        raw=raw,
        tokens=tokens,
        trajectories=dialogues,
        lineage=list(chain.records),
        placement=place,
    )
    await chain.run_others(r)
    return released
