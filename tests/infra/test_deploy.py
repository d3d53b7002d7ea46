"""What a Flyte backend is told: the dry run of `make deploy`, and each task's specification."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from flyte import TaskTemplate
from flyte._internal.runtime.task_serde import translate_task_to_wire
from flyte.models import SerializationContext
from google.protobuf.json_format import MessageToDict

from infra.cache import at
from infra.home import ROOT
from schemas.base import Config
from schemas.lineage import LineageRecord
from schemas.recipe import STAGES, Recipe
from workflows.k2 import k2
from workflows.stages import Stage, task_of, version_of


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"K2_GPU_POOL": "H100:8", "K2_GPU_NODES": "4", "K2_REGISTRY": "registry.example"},
    ],
)
def test_deploy_registers_every_task_with_all_of_the_code(
    variables: dict[str, str], tmp_path: Path
) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW", "MAKE"))}
    options: dict[str, Any] = {"cwd": ROOT, "env": env, "capture_output": True, "text": True}
    dry = subprocess.run(["make", "-n", "deploy"], **options)
    command = dry.stdout.partition("\n")[2]  # without the set-up
    env |= {"K2_HOME": str(tmp_path), "COLUMNS": "200"} | variables
    done = subprocess.run(command, shell=True, **options)
    assert done.returncode == 0, done.stderr
    named = set(re.findall(r"\bk2(?:-\w+)?\.(\w+)", done.stdout))
    assert {*STAGES, "k2"} <= named
    assert ("registry.example/k2-gpu:" in done.stdout) is bool(variables)
    # Tasks import the work inside their bodies: a bundle of what is loaded would lack it.
    bundled = re.search(r"Code bundle: (\d+) files", done.stdout + done.stderr)
    rooms = ("k2core", "schemas", "infra", "tasks", "workflows")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert bundled is not None
    assert int(bundled[1]) >= len(sources)


def spec_of(task: TaskTemplate[..., Any, Any]) -> dict[str, Any]:
    context = SerializationContext(version="v", root_dir=ROOT)
    wire: dict[str, dict[str, Any]] = MessageToDict(translate_task_to_wire(task, context))
    return wire["taskTemplate"]


def inputs_of(task: Stage[Any]) -> dict[str, Any]:
    """Argument -> JSON schema; of a list, its items'."""
    variables = spec_of(task)["interface"]["inputs"]["variables"]
    types = {v["key"]: v["value"]["type"] for v in variables}
    return {k: _form_of(t).get("metadata") for k, t in types.items()}


def _form_of(kind: dict[str, Any]) -> dict[str, Any]:
    """Of a list its items', of what may be left out what it is where it is not."""
    if "unionType" in kind:
        kind = kind["unionType"]["variants"][0]
    found: dict[str, Any] = kind.get("collectionType", kind)
    return found


def without_help(schema: Mapping[str, Any], path: str) -> list[str]:
    """Fields, at any depth, that a launch form would show without a word."""
    if "allOf" in schema:
        schema = {**schema, **schema["allOf"][0]}
    return [
        field
        for name, about in schema.get("properties", {}).items()
        for field in [
            *([] if about.get("description") else [f"{path}.{name}"]),
            *without_help(about, f"{path}.{name}"),
        ]
    ]


def help_texts(schema: Any) -> set[str]:
    """All descriptions in a schema."""
    if isinstance(schema, list):
        return set().union(*map(help_texts, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["description"]} if isinstance(schema.get("description"), str) else set()
    return own.union(*map(help_texts, schema.values()))


def fields_of(config: type[Config]) -> set[str]:
    """Help texts of a config and of all that it holds."""
    return help_texts(config.model_json_schema())


@pytest.mark.parametrize("stage", STAGES)
def test_the_launch_form_shows_every_help_text(stage: str) -> None:
    task = task_of(stage)
    schemas = inputs_of(task)
    kinds = {name: kind for name, (kind, _) in task.native_interface.inputs.items()}
    assert schemas.keys() == kinds.keys()
    for name, schema in schemas.items():
        kind = LineageRecord if name == "lineage" else _without_none(kinds[name])
        assert schema["title"] == kind.__name__
        assert without_help(schema, name) == [] or not issubclass(kind, Config)
        assert fields_of(kind) <= help_texts(schema)


def _without_none(kind: type[Any]) -> type[Any]:
    """The class of an input that may be left out."""
    found: type[Any] = next(iter(get_args(kind)), kind)
    return found


def test_the_pipelines_form_is_the_whole_recipe() -> None:
    schema = inputs_of(k2)["recipe"]
    assert fields_of(Recipe) <= help_texts(schema)
    assert {*STAGES, "model", "problems", "placement"} <= set(schema["properties"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_task_is_cached_by_its_version_and_reports(stage: str) -> None:
    task = task_of(stage)
    metadata = spec_of(task)["metadata"]
    assert metadata["discoverable"]
    assert metadata["cacheIgnoreInputVars"] == ["placement"]
    assert metadata["generatesDeck"]
    same = spec_of(task.override(cache=at(version_of(task))))["metadata"]
    bumped = spec_of(task.override(cache=at(version_of(task) + ".1")))["metadata"]
    assert same["discoveryVersion"] == metadata["discoveryVersion"]
    assert bumped["discoveryVersion"] != metadata["discoveryVersion"]
