"""Recipes: functions that return a complete one. A new variant is a new function."""

from collections.abc import Callable

from schemas.evaluate import EvaluateConfig
from schemas.ingest import IngestConfig
from schemas.optim import Schedule
from schemas.placement import Placement, Serving
from schemas.pretrain import PretrainConfig
from schemas.problems import ProblemsConfig
from schemas.recipe import Recipe
from schemas.release import ReleaseConfig
from schemas.rephrase import RephraseConfig
from schemas.rl import RlConfig
from schemas.sft import SftConfig
from schemas.synthesize import SynthesizeConfig
from schemas.tokenize import TokenizeConfig
from workflows.gpu_recipes import one_gpu, one_node
from workflows.large_recipes import k2_1t, moonlight_16b


def tiny() -> Recipe:
    """Every stage for real on a laptop's CPU, in minutes: the defaults of nearly all configs.

    The model that rewrites is so small that rules write beside it, and it gets the styles it keeps.
    """
    return Recipe(
        name="tiny",
        rephrase=RephraseConfig(
            writers=("model", "rules"), styles=("encyclopedia", "formal", "plain", "learning_note")
        ),
        rl=RlConfig(
            num_iterations=28,
            decay_iterations=28,
            problems_per_iteration=32,
            samples_per_problem=6,
            final_lr_frac=0.05,
            family_factors={
                "correction": 3.0,
                "no_tool": 10.0,
                "pick_word": 0.5,
                "repeat_word": 0.5,
            },
        ),
    )


def smoke() -> Recipe:
    """The same stages and model with counts so small that nothing is learned: for tests."""
    return Recipe(
        name="smoke",
        problems=ProblemsConfig(held_out_per_family=2),
        ingest=IngestConfig(
            num_knowledge=300,
            num_web=12,
            num_code=30,
            num_tool_specs=60,
            num_math=400,
            num_tables=200,
        ),
        rephrase=RephraseConfig(
            documents={"knowledge": 1, "math": 1},
            writers=("model", "rules"),
            max_words=40,
            documents_together=2,
        ),
        tokenize=TokenizeConfig(train_tokens=30_000, heldout_frac=0.05),
        pretrain=PretrainConfig(
            schedule=Schedule(num_steps=6), batch_size=8, sequence_length=128, checkpoint_every=2
        ),
        synthesize=SynthesizeConfig(
            num_problems=160, num_scenarios=3, live_per_server=2, shard_problems=80
        ),
        sft=SftConfig(schedule=Schedule(num_steps=6), batch_size=4, checkpoint_every=2),
        rl=RlConfig(
            num_iterations=2,
            decay_iterations=2,
            num_problems=64,
            problems_per_iteration=6,
            samples_per_problem=4,
            ptx_dialogues=4,
            validation_every=2,
            validation_per_family=1,
        ),
        evaluate=EvaluateConfig(variants_per_family=1, heldout_tokens=400, choices_per_task=4),
        release=ReleaseConfig(parity_windows=(64, 200), num_greedy_tokens=8, serving_requests=0),
        placement=Placement(serving=Serving(num_engines=1)),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tiny": tiny,
    "smoke": smoke,
    "one_gpu": one_gpu,
    "one_node": one_node,
    "moonlight_16b": moonlight_16b,
    "k2_1t": k2_1t,
}
