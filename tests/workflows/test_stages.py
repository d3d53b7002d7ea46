"""What flows into a stage: by the recipe's types, by the names of what others made."""

import asyncio
from typing import Any

import flyte
import pytest
from pydantic import BaseModel

from infra.cache import at
from schemas.adopt import AdoptConfig
from schemas.artifacts import CleanCorpus, Release, TokenCorpus
from schemas.base import Artifact
from schemas.clean import CleanConfig
from schemas.recipe import Recipe
from workflows import chain as chains
from workflows.chain import Chain
from workflows.k2 import make_model
from workflows.stages import TASKS, Stage, artifact_inputs, result_type

DIGEST = "sha256:" + "a" * 64
ENVIRONMENT = flyte.TaskEnvironment("k2-looks-on")


@ENVIRONMENT.task(cache=at("1"))
async def survey(config: CleanConfig, clean: CleanCorpus, base: Artifact) -> Release:
    """Looks on."""
    raise NotImplementedError


@ENVIRONMENT.task(cache=at("1"))
async def strange(text: CleanCorpus) -> Release:
    """Asks for what nobody knows by that name."""
    raise NotImplementedError


class Noted(Chain):
    """Runs nothing: notes what would be."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, dict[str, object]] = {}

    async def run(self, stage: Stage[Any], **inputs: object) -> BaseModel:
        self.calls[stage.short_name] = inputs
        kind = result_type(stage)
        if issubclass(kind, Artifact):
            return kind.model_validate({"digest": DIGEST})
        parts = {name: {"digest": DIGEST} for name in kind.model_fields}
        return kind.model_validate(parts)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    noted = Noted()
    monkeypatch.setattr(Chain, "_answer", lambda _, stage, __, inputs: noted.run(stage, **inputs))
    monkeypatch.setattr("tasks.work.identity_of", lambda _, version: version)
    monkeypatch.setattr(chains, "record_answer", lambda *_: None)
    return noted


def test_a_stage_that_nothing_calls_runs_last_with_what_others_were_given(
    noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "TASKS", TASKS | {"survey": survey})
    recipe = Recipe()
    asyncio.run(make_model(recipe, noted))
    assert set(noted.calls) == {*recipe.stages, "survey"}
    assert list(noted.calls)[-1] == "survey"
    given = noted.calls["survey"]
    assert given["config"] == recipe.clean
    assert given["clean"] == noted.calls["tokenize"]["clean"]
    assert given["base"] == noted.calls["sft"]["base"]


def test_where_nothing_is_rewritten_the_texts_alone_are_tokenized(noted: Noted) -> None:
    recipe = Recipe.model_validate({"rephrase": {"documents": {}}})
    assert recipe.unused == ("rephrase", "adopt")
    asyncio.run(make_model(recipe, noted))
    assert set(noted.calls) == set(recipe.stages)
    assert "rephrased" not in noted.calls["tokenize"]


def test_a_base_that_is_brought_takes_the_place_of_what_would_make_one(noted: Noted) -> None:
    recipe = Recipe(adopt=AdoptConfig(source="/a/model"))
    asyncio.run(make_model(recipe, noted))
    assert set(noted.calls) == set(recipe.stages)
    assert noted.calls["adopt"] == {"config": recipe.adopt, "shape": recipe.model}
    base = noted.calls["sft"]["base"]
    assert all(noted.calls[stage]["base"] is base for stage in ("evaluate", "release"))
    assert noted.calls["tokenize"]["tokenizer"] is base
    assert "rephrased" not in noted.calls["tokenize"]


def test_what_no_stage_is_given_by_that_name_is_told() -> None:
    made = {"clean": CleanCorpus(digest=DIGEST), "tokens": TokenCorpus(digest=DIGEST)}
    with pytest.raises(TypeError, match=r"strange asks for text: CleanCorpus.* there is clean"):
        artifact_inputs(strange, made)


def test_an_argument_means_one_kind_in_every_stage() -> None:
    kinds: dict[str, set[type]] = {}
    for task in TASKS.values():
        for name, (kind, _) in task.native_interface.inputs.items():
            if isinstance(kind, type) and issubclass(kind, Artifact):
                kinds.setdefault(name, set()).add(kind)
    assert {name: kind for name, kind in kinds.items() if len(kind) > 1} == {}
