"""What triggers start: on which artifacts, as whose recipe says."""

import asyncio
import inspect
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.artifacts import (
    Checkpoint,
    Evaluation,
    RawCorpus,
    RlResult,
    RolloutLog,
    TokenCorpus,
    TrajectorySet,
)
from schemas.problems import ProblemsConfig
from schemas.recipe import Recipe
from tests.workflows.conftest import Record
from workflows.chain import Chain
from workflows.errors import NotRecordedError
from workflows.stages import Stage, result_type
from workflows.triggers import clean_and_tokenize, evaluate_newest, evaluate_policy

RECIPE = Recipe(name="made", problems=ProblemsConfig(seed=5))
TOKENS = TokenCorpus(digest="sha256:" + "1" * 64)
BASE, TUNED, POLICY, ALONE = (Checkpoint(digest="sha256:" + n * 64) for n in "2346")
DIALOGUES = TrajectorySet(digest="sha256:" + "5" * 64)
LOG = RolloutLog(digest="sha256:" + "7" * 64)
Calls = list[tuple[str, dict[str, object]]]


@pytest.fixture(scope="module", autouse=True)
def _made(record: Record) -> None:
    """A pipeline that ended well, and a policy that was trained alone on other problems."""
    from infra.lineage import pipeline_run

    graded = {"base": BASE, "sft": TUNED, "policy": POLICY, "tokens": TOKENS}
    with pipeline_run("made-1", RECIPE.model_dump(mode="json")):
        record("made-1", "pretrain", {"tokens": TOKENS}, {"checkpoint": BASE})
        tuning = {"base": BASE, "trajectories": DIALOGUES}
        record("made-1", "sft", tuning, {"checkpoint": TUNED})
        practice = {"sft": TUNED, "trajectories": DIALOGUES}
        record("made-1", "rl", practice, {"policy": POLICY, "rollouts": LOG})
        record("made-1", "evaluate", graded, {"evaluation": Evaluation(digest=LOG.digest)})
    problems = ProblemsConfig(seed=9).model_dump(mode="json")
    made = {"policy": ALONE, "rollouts": LOG}
    record("rl-alone", "rl", practice, made, problems=problems)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stages that would have run, and on what."""
    noted: Calls = []

    async def note(_: Chain, stage: Stage[Any], **inputs: object) -> BaseModel:
        noted.append((stage.short_name, inputs))
        asked = stage.native_interface.inputs
        needed = {n for n, (_, default) in asked.items() if default is inspect.Parameter.empty}
        assert needed <= inputs.keys() <= asked.keys()
        return result_type(stage).model_construct()

    monkeypatch.setattr(Chain, "__call__", note)
    return noted


def test_the_night_grades_what_the_newest_pipeline_made(calls: Calls) -> None:
    asyncio.run(evaluate_newest.func())
    ((stage, inputs),) = calls
    assert stage == "evaluate"
    assert (inputs["base"], inputs["sft"], inputs["policy"]) == (BASE, TUNED, POLICY)
    assert inputs["tokens"] == TOKENS
    assert (inputs["config"], inputs["problems"]) == (RECIPE.evaluate, RECIPE.problems)


def test_a_policy_is_graded_beside_its_ancestors_on_its_own_problems(calls: Calls) -> None:
    asyncio.run(evaluate_policy.func(RlResult(policy=ALONE, rollouts=LOG)))
    ((_, inputs),) = calls
    assert (inputs["base"], inputs["sft"], inputs["policy"]) == (BASE, TUNED, ALONE)
    assert inputs["problems"] == ProblemsConfig(seed=9)
    stranger = Checkpoint(digest="sha256:" + "8" * 64)
    with pytest.raises(NotRecordedError, match="nobody recorded"):
        asyncio.run(evaluate_policy.func(RlResult(policy=stranger, rollouts=LOG)))


def test_a_corpus_is_cleaned_and_tokenized_as_the_newest_recipe_says(calls: Calls) -> None:
    raw = RawCorpus(digest="sha256:" + "9" * 64)
    asyncio.run(clean_and_tokenize.func(raw))
    assert [stage for stage, _ in calls] == ["clean", "tokenize"]
    assert calls[0][1]["raw"] == raw
    assert calls[0][1]["problems"] == RECIPE.problems
    assert calls[1][1]["config"] == RECIPE.tokenize
    with pytest.raises(NotRecordedError, match="no pipeline run named 'nobody'"):
        asyncio.run(clean_and_tokenize.func(raw, "nobody"))
