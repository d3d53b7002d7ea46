"""Starts local runs through Flyte: cached, recorded, listed by `flyte start tui`."""

import logging
import os
import secrets
import time
from collections.abc import Sequence
from typing import Any, cast

import flyte
from flyte import TaskTemplate
from pydantic import BaseModel, TypeAdapter

from infra.cache import refreshed, store_id
from infra.home import ROOT, home
from infra.runs import refuse_away
from schemas.artifacts import Release, RlResult
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe
from workflows.chain import tried
from workflows.errors import NotRecordedError
from workflows.find import find_pipeline, recipe_of, records_of
from workflows.k2 import k2
from workflows.overrides import change
from workflows.stages import recipe_inputs, task_of, version_of

FlyteTask = TaskTemplate[..., Any, Any]
Made = Artifact | RlResult
"""What a task of this house returns."""
_LINEAGE = TypeAdapter(list[LineageRecord])


def run_pipeline(recipe: Recipe, recorded: Sequence[LineageRecord] = ()) -> tuple[str, Release]:
    """Run the whole chain here; returns the Flyte run's name and the release."""
    from k2core.engines.ray import keep_engines

    name = run_name(recipe.name)
    with keep_engines():
        made = _run(name, k2, recipe=recipe, recorded=list(recorded) or None)
        return name, cast(Release, made)


def run_stage(stage: str, recipe: Recipe) -> tuple[str, Made]:
    """Run one stage that needs no other's artifacts; returns the run's name and the result."""
    return run_inputs(f"{recipe.name}-{stage}", stage, **recipe_inputs(task_of(stage), recipe))


def run_inputs(prefix: str, stage: str, **inputs: BaseModel) -> tuple[str, Made]:
    """Run one stage on these inputs; returns the run's name and the result."""
    return run_task(prefix, task_of(stage), **inputs)


def run_task(prefix: str, task: FlyteTask, **inputs: object) -> tuple[str, Made]:
    """Run a task of Flyte here; returns the run's name and the result."""
    name = run_name(prefix)
    return name, _run(name, task, **inputs)


def rerun_stage(stage: str, source: str, settings: Sequence[str]) -> tuple[str, Recipe, Made]:
    """Run one stage again from an earlier run's recorded inputs, whatever the cache holds.

    Returns:
        The new run's name, the recipe with the settings applied, and the stage's result.
    """
    pipeline = find_pipeline(source)
    recipe = change(recipe_of(pipeline), settings)
    record = records_of(pipeline).get(stage)
    if record is None:
        raise NotRecordedError(
            f"run {pipeline.name} recorded no finished {stage}; it has "
            f"{', '.join(records_of(pipeline)) or 'none'}"
        )
    task = task_of(stage)
    inputs: dict[str, object] = {**recipe_inputs(task, recipe)}
    for argument, (kind, _) in task.native_interface.inputs.items():
        if argument in record.inputs:
            inputs[argument] = _typed(kind, record.inputs[argument])
        elif argument not in inputs and argument in record.configs:
            found = record.configs[argument]
            inputs[argument] = found and _LINEAGE.validate_python(found)
    again = task.override(cache=refreshed(stage, version_of(task)))
    name = run_name(f"{recipe.name}-{stage}")
    return name, recipe, _run(name, again, **inputs)


def rerun_downstream(stage: str, source: str, recipe: Recipe) -> tuple[str, Release]:
    """Run what follows from a stage that was just run again; the rest is taken from the record."""
    records = records_of(find_pipeline(source))
    kept = [record for name, record in records.items() if name != stage]
    return run_pipeline(recipe, kept)


def run_name(prefix: str) -> str:
    """A readable, unique name for a run: prefix, time (UTC) and a few letters of its own."""
    clock = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{prefix}-{clock}-{secrets.token_hex(4)}"


def _run(name: str, task: FlyteTask, **inputs: object) -> Made:
    refuse_away()
    store_id()  # or say now why it cannot be used
    place = _flyte_place()
    os.chdir(place)
    # An error comes out of `run`; Flyte would log its traceback, too.
    flyte.init(root_dir=ROOT, local_persistence=True, log_level=logging.CRITICAL)
    done = flyte.with_runcontext(mode="local", name=name).run(tried(task), **inputs)
    return cast(Made, done.outputs()[0])


def _flyte_place() -> str:
    """Flyte keeps its local records beside its config: the repository's, or the set home's."""
    if "K2_HOME" not in os.environ:
        return str(ROOT)
    home().mkdir(parents=True, exist_ok=True)
    config = home() / "config.yaml"
    if not config.exists():
        config.write_text((ROOT / ".flyte" / "config.yaml").read_text())
    return str(home())


def _typed(kind: type[BaseModel], artifact: Artifact) -> BaseModel:
    """The artifact as its own class; an input that may be absent is of two kinds."""
    adapter: TypeAdapter[BaseModel] = TypeAdapter(kind)
    return adapter.validate_python(artifact.model_dump())
