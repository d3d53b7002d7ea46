"""The published recipes, in full where they differ from the defaults."""

import json
from pathlib import Path

import pytest

from k2core.optim.schedule import learning_rate
from k2core.parallel.plan import LayoutError
from schemas.recipe import Recipe
from schemas.rubrics import CriticPairs
from workflows.large_recipes import k2_1t
from workflows.plan import UnfitError, jobs_of, refuse_unfit
from workflows.plan_stages import plan_release
from workflows.recipes import RECIPES

LARGE = ["one_gpu", "one_node", "moonlight_16b", "k2_1t"]


@pytest.mark.parametrize("name", LARGE)
def test_a_published_recipe_says_what_it_said(name: str) -> None:
    """A wanted change: write the found value into the golden file."""
    path = Path(__file__).parent / "golden" / f"{name}.json"
    found = RECIPES[name]().model_dump(mode="json", exclude_defaults=True)
    assert found == json.loads(path.read_text())


@pytest.mark.parametrize("name", LARGE)
def test_every_training_of_a_large_recipe_is_in_bf16_and_fits_its_placement(name: str) -> None:
    recipe = RECIPES[name]()
    stages = {stage: getattr(getattr(recipe, stage), "optim", None) for stage in vars(recipe)}
    trained = {stage: optim for stage, optim in stages.items() if optim is not None}
    assert {"pretrain", "sft", "rl"} <= set(trained)
    for optim in trained.values():
        assert optim.precision == optim.newton_schulz_precision == "bf16"
    refuse_unfit(recipe)  # every training, practice and examination
    assert {job.precision for job in jobs_of(recipe).values()} == {"bf16"}


def test_what_cannot_practise_or_be_examined_is_refused() -> None:
    recipe = k2_1t()

    def served(**changes: object) -> Recipe:
        serving = recipe.placement.serving.model_copy(update=changes)
        place = recipe.placement.model_copy(update={"serving": serving})
        return recipe.model_copy(update={"placement": place})

    with pytest.raises(UnfitError, match=r"^rl: engines: an engine's device needs \S+ GB"):
        refuse_unfit(served(pp=1))
    with pytest.raises(UnfitError, match=r"^rl: an engine beside the trainer's \S+ GB"):
        refuse_unfit(served(sleep=True))
    longer = recipe.rl.model_copy(update={"max_tokens": None})
    refuse_unfit(recipe.model_copy(update={"rl": longer}))
    with pytest.raises(LayoutError, match=r"fp32 in one process.*4,106 GB"):
        plan_release(recipe)
    assert plan_release(RECIPES["one_node"]()) < 40e9


def test_a_critic_is_asked_in_the_words_that_it_was_taught_in() -> None:
    recipe = k2_1t()
    sft = recipe.sft.model_copy(update={"critic": CriticPairs(show="names")})
    with pytest.raises(ValueError, match=r"rl.critic.show differs from sft.critic.show"):
        Recipe.model_validate({**dict(recipe), "sft": sft})
    taught_alone = recipe.rl.model_copy(update={"critic": None})
    assert Recipe.model_validate({**dict(recipe), "rl": taught_alone}).sft.critic


def test_k2_needs_what_its_placement_saves() -> None:
    assert [job.sequence_length for job in jobs_of(k2_1t()).values()] == [
        4096,
        4096,
        32_768,
        32_768,
    ]
    for change, stage in (
        ({"offload": False}, "pretrain"),
        ({"tokens_a_rank": None}, "pretrain, long"),
    ):
        placement = k2_1t().placement.model_copy(update=change)
        with pytest.raises(UnfitError, match=rf"^{stage}: placement .* stage \d+ needs \S+ GB"):
            refuse_unfit(k2_1t().model_copy(update={"placement": placement}))


def test_k2s_schedule_is_the_reports() -> None:
    pretrain = RECIPES["k2_1t"]().pretrain
    tokens = pretrain.batch_size * pretrain.sequence_length
    assert tokens == 67_108_864
    assert pretrain.schedule.num_steps * tokens == pytest.approx(15.5e12, rel=1e-5)
    assert pretrain.schedule.warmup_frac * pretrain.schedule.num_steps == pytest.approx(500)
    anneal, long = pretrain.phases
    assert pretrain.steps_of(anneal) * tokens == pytest.approx(400e9, rel=1e-3)
    assert pretrain.steps_of(long) * tokens == pytest.approx(60e9, rel=2e-3)
    assert (pretrain.batch_of(long), pretrain.length_of(long)) == (2048, 32_768)
    end = pretrain.schedule.num_steps - 1
    assert learning_rate(end, pretrain.optim.lr, pretrain.schedule) == pytest.approx(anneal.lr)
    assert anneal.final_lr == long.lr
    assert long.final_lr == 7e-6
    assert pretrain.yarn_factor == 1
    assert long.yarn_factor is None  # the model's
