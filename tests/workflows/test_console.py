"""What is launched by name: forms that are the recipe, and stages on what was picked."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from flyte import TaskTemplate
from flyte._internal.resolvers.default import DefaultTaskResolver
from flyte._internal.runtime.types_serde import transform_native_to_typed_interface
from flyteidl2.core import interface_pb2
from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel

from infra.home import ROOT
from schemas.artifacts import Checkpoint, RolloutLog, TokenCorpus
from schemas.lineage import LineageRecord
from schemas.recipe import STAGES, Recipe
from tests.forms import given, untouched
from tests.workflows.conftest import Record
from workflows import console
from workflows.chain import Chain
from workflows.console import DEPLOYED, ENTRIES
from workflows.errors import NotRecordedError
from workflows.find import find_artifact, records_behind
from workflows.recipes import RECIPES
from workflows.stages import TASKS, Stage, result_type

TOKENS, OLD, BASE, POLICY = ("sha256:" + letter * 64 for letter in "abcd")


def variable_of(task: TaskTemplate[..., Any, Any], name: str) -> interface_pb2.Variable:
    """As the registered interface has it."""
    interface = transform_native_to_typed_interface(task.native_interface)
    assert interface is not None
    (found,) = (v.value for v in interface.inputs.variables if v.key == name)
    return found


def form_of(task: TaskTemplate[..., Any, Any], name: str) -> dict[str, Any]:
    schema = MessageToDict(variable_of(task, name).type)["metadata"]
    return cast("dict[str, Any]", untouched(cast("Mapping[str, object]", schema)))


@pytest.mark.parametrize("name", RECIPES)
def test_an_untouched_form_launches_the_recipe_of_its_name(name: str) -> None:
    entry, recipe = ENTRIES[name], RECIPES[name]()
    form = form_of(entry, "recipe")
    launched = given(entry, "recipe", form)
    assert launched.model_dump() == recipe.model_dump()
    assert entry.native_interface.inputs["recipe"][1].model_dump() == recipe.model_dump()
    form["pretrain"]["seed"] += 1
    changed = given(entry, "recipe", form)
    seed = recipe.pretrain.model_copy(update={"seed": recipe.pretrain.seed + 1})
    assert changed.model_dump() == recipe.model_copy(update={"pretrain": seed}).model_dump()


@pytest.mark.parametrize("stage", STAGES)
def test_an_untouched_stage_is_tinys(stage: str) -> None:
    entry, recipe = ENTRIES[stage], Recipe()
    kinds = entry.native_interface.inputs
    for name, (kind, default) in kinds.items():
        if kind is not str:
            launched = given(entry, name, form_of(entry, name))
            assert launched == default
            assert launched in [value for _, value in recipe]


def test_every_entry_is_found_by_its_name() -> None:
    assert set(ENTRIES) == {*RECIPES, *STAGES}
    assert len(ENTRIES) == len(RECIPES) + len(STAGES)
    for name, entry in ENTRIES.items():
        assert entry.name == f"k2.{name}"
        where = DefaultTaskResolver().loader_args(entry, ROOT)
        assert where == ["mod", "workflows.console", "instance", name]
        assert DefaultTaskResolver().load_task(where) is entry


@pytest.mark.parametrize("task", [*DEPLOYED, *TASKS.values()], ids=lambda t: t.name)
def test_every_input_is_described(task: TaskTemplate[..., Any, Any]) -> None:
    interface = task.native_interface
    assert interface.docstring is not None
    says = interface.docstring.input_descriptions
    assert [name for name in interface.inputs if not says.get(name)] == []
    assert interface.docstring.short_description


@pytest.fixture(scope="module")
def recorded(record: Record) -> list[LineageRecord]:
    """Two runs; the older began with the same letters."""
    from infra.lineage import pipeline_run

    records = []
    for run, tokens in (("toy-1", OLD), ("toy-12", TOKENS)):
        with pipeline_run(run, Recipe(name="toy").model_dump(mode="json")):
            data = TokenCorpus(digest=tokens, counts={"documents": 3})
            base = Checkpoint(digest=BASE if run == "toy-12" else "sha256:" + "e" * 64)
            records.append(record(run, "tokenize", {}, {"token_corpus": data}))
            records.append(record(run, "pretrain", {"tokens": data}, {"checkpoint": base}))
            if run == "toy-12":
                made = {
                    "policy": Checkpoint(digest=POLICY),
                    "rollouts": RolloutLog(digest="sha256:" + "f" * 64),
                }
                records.append(record(run, "rl", {"sft": base}, made))
    return records


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("choice", "kinds", "digest"),
    [
        ("toy-12/tokenize", (), TOKENS),
        ("toy-1/tokenize", (), OLD),
        ("toy/tokenize", (), TOKENS),
        ("latest/tokenize", (), TOKENS),
        ("latest/rl/policy", (), POLICY),
        ("toy-12/rl", ("checkpoint",), POLICY),
        (TOKENS, (), TOKENS),
        (TOKENS[7:19], (), TOKENS),
    ],
)
def test_an_artifact_is_picked(choice: str, kinds: tuple[str, ...], digest: str) -> None:
    assert find_artifact(choice, kinds).digest == digest


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("toy-1/rl", "'toy-1/rl' names no finished artifact; toy-1 made tokenize, pretrain"),
        ("latest/sft", r"toy-12 made tokenize, pretrain, rl"),
        ("nobody/sft", "nobody made nothing that is recorded"),
        ("toy-12/rl", "say one of toy-12/rl/policy, toy-12/rl/rollouts"),
        ("toy-12/rl/weights", "names no finished artifact"),
    ],
)
def test_what_cannot_be_picked_is_told(choice: str, message: str) -> None:
    with pytest.raises(NotRecordedError, match=message):
        find_artifact(choice)


def test_a_stage_runs_on_what_was_picked(
    recorded: list[LineageRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, dict[str, object]]] = []

    async def note(_: Chain, stage: Stage[Any], **inputs: object) -> BaseModel:
        calls.append((stage.short_name, inputs))
        return result_type(stage).model_construct()

    monkeypatch.setattr(Chain, "__call__", note)
    entry = cast("Stage[Any]", ENTRIES["pretrain"])
    form = {argument: default for argument, (_, default) in entry.native_interface.inputs.items()}
    assert form["tokens"] == "latest/tokenize"
    asyncio.run(entry.func(**form | {"tokens": "toy-1/tokenize"}))
    with pytest.raises(NotRecordedError, match="no finished token_corpus"):
        asyncio.run(entry.func(**form | {"tokens": "toy-12/rl"}))
    ((stage, inputs),) = calls
    recipe = Recipe()
    assert stage == "pretrain"
    assert inputs == {
        "config": recipe.pretrain,
        "shape": recipe.model,
        "tokens": TokenCorpus(digest=OLD, counts={"documents": 3}),
        "placement": recipe.placement,
    }


def test_a_release_has_the_records_behind_what_was_picked(recorded: list[LineageRecord]) -> None:
    behind = records_behind([Checkpoint(digest=POLICY)])
    assert [r.model_dump() for r in behind] == [r.model_dump() for r in recorded[2:]]
    assert "lineage" not in console.ENTRIES["release"].native_interface.inputs
