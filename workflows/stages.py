"""The stages as tasks, found by their names, and what each asks for."""

import importlib
import inspect
import typing
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from flyte._docstring import Docstring
from flyte._task import AsyncFunctionTaskTemplate
from pydantic import BaseModel

from infra.cache import StageVersion
from infra.links import MlflowLink, mlflow_ui
from schemas.base import Artifact
from schemas.recipe import STAGES, Recipe
from workflows.inputs import describe_inputs

T = TypeVar("T", bound=BaseModel)
Stage = AsyncFunctionTaskTemplate[..., Coroutine[Any, Any, T], Any]


def task_of(stage: str) -> Stage[Any]:
    """The stage's task, `tasks.NAME:NAME`: to each input what it is, to the run where to look."""
    task: Stage[Any] = getattr(importlib.import_module(f"tasks.{stage}"), stage)
    says = describe_inputs(inspect.getdoc(task.func) or "", task.native_interface.inputs)
    task.interface = replace(task.interface, docstring=Docstring(says))
    task.links = (MlflowLink(),) if mlflow_ui() else ()
    return task


TASKS = {stage: task_of(stage) for stage in STAGES}
"""All of them; whoever deploys the pipeline deploys these."""


def version_of(stage: Stage[T]) -> str:
    """The VERSION that the stage's cache policy carries."""
    policies = getattr(stage.cache, "policies", None) or []
    for policy in policies:
        if isinstance(policy, StageVersion):
            return policy.version
    raise TypeError(f"{stage.name} has no StageVersion: declare its task with cache=at(VERSION)")


def result_type(stage: Stage[T]) -> type[BaseModel]:
    """The model that the stage returns."""
    return typing.cast("type[BaseModel]", typing.get_type_hints(stage.func)["return"])


def recipe_inputs(task: Stage[Any], recipe: Recipe) -> dict[str, BaseModel]:
    """What the recipe says of a task's arguments: those of the type of one of its fields."""
    fields = {field.annotation: name for name, field in Recipe.model_fields.items()}
    kinds = task.native_interface.inputs
    return {
        argument: getattr(recipe, fields[kind])
        for argument, (kind, _) in kinds.items()
        if kind in fields
    }


def artifact_inputs(task: Stage[Any], made: Mapping[str, Artifact]) -> dict[str, BaseModel]:
    """What a task asks for of what a pipeline made: by the name that other stages know it by.

    Args:
        task: the stage's.
        made: name of an argument -> what other stages were given as it.

    Raises:
        TypeError: nothing has that name, or it is of another kind.
    """
    found: dict[str, BaseModel] = {}
    for argument, (kind, _) in task.native_interface.inputs.items():
        if not (isinstance(kind, type) and issubclass(kind, Artifact)):
            continue
        if not isinstance(made.get(argument), kind):
            fitting = [name for name, artifact in made.items() if isinstance(artifact, kind)]
            raise TypeError(
                f"{task.short_name} asks for {argument}: {kind.__name__}, which no stage is given "
                f"by that name; there is {', '.join(sorted(fitting)) or 'none of that kind'}. "
                f"Name the argument so, or call the stage in workflows/k2.py"
            )
        found[argument] = made[argument]
    return found
