"""What a person launches from Flyte's console: a recipe by its name, or one stage alone.

All of it is in the environment `k2`: `k2.moonlight_16b` is the pipeline whose form, untouched, is
this recipe; `k2.pretrain` is the stage, on artifacts picked by run and stage or by digest. The
tasks of the other environments (`k2-train.pretrain`) are what these start.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from typing import Any, NamedTuple, cast

from flyte import TaskTemplate
from flyte.artifacts import Metadata, produces
from pydantic import BaseModel, create_model

from infra.pools import DRIVER, within
from schemas.artifacts import Release
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe
from workflows.chain import Chain
from workflows.find import LATEST, find_artifact, records_behind
from workflows.inputs import INPUTS, describe_inputs
from workflows.k2 import k2, run_recipe
from workflows.recipes import RECIPES
from workflows.stages import TASKS, Stage, recipe_inputs, result_type
from workflows.triggers import TRIGGERED

Entry = TaskTemplate[..., Any, Any]


class _Field(NamedTuple):
    """An input of a launch form."""

    kind: type[object]
    default: object


def launch_recipe(name: str, make: Callable[[], Recipe]) -> Entry:
    """The pipeline under a recipe's name."""
    form = form_of(make())

    async def run(recipe: Recipe) -> Release:
        return await run_recipe(Recipe.model_validate(recipe.model_dump()))

    about = describe_inputs(inspect.getdoc(make) or "", [], recipe="One section a stage.")
    return _entry(name, about, {"recipe": _Field(form, form())}, Release, run)


def launch_stage(name: str, stage: Stage[BaseModel]) -> Entry:
    """One stage, on what is picked for it; its result is a version of Flyte's artifact `name`."""
    kinds = {argument: kind for argument, (kind, _) in stage.native_interface.inputs.items()}
    picked = {
        argument: found
        for argument, kind in kinds.items()
        if (found := _artifact(kind)) is not None
    }
    stated = recipe_inputs(stage, Recipe())
    optional = {argument for argument in picked if type(None) in typing.get_args(kinds[argument])}

    async def run(**given: object) -> BaseModel:
        inputs = {argument: given[argument] for argument in stated}
        made = {
            argument: _pick(str(given[argument]), kind)
            for argument, kind in picked.items()
            if given[argument]
        }
        if list[LineageRecord] in kinds.values():
            inputs["lineage"] = records_behind(list(made.values()))
        with produces(o0=Metadata(name=name)):
            again = cast("Stage[BaseModel]", stage.override(produces_artifacts=True))
            return await Chain()(again, **inputs, **made)

    fields = {argument: _Field(kinds[argument], value) for argument, value in stated.items()}
    fields |= {
        argument: _Field(str, "" if argument in optional else f"{LATEST}/{INPUTS[argument].maker}")
        for argument in picked
    }
    about = describe_inputs(
        inspect.getdoc(stage.func) or "",
        fields,
        **{argument: _help(argument, argument in optional) for argument in picked},
    )
    return _entry(name, about, fields, result_type(stage), run)


def form_of(recipe: Recipe) -> type[Recipe]:
    """`Recipe`, whose defaults are this recipe: what a form shows before anything is touched."""
    fields = {}
    for name, field in Recipe.model_fields.items():
        own = copy(field)
        own.default = getattr(recipe, name)
        fields[name] = (field.annotation, own)
    named = "".join(word.capitalize() for word in recipe.name.split("_")) + "Recipe"
    made: type[Recipe] = create_model(  # type: ignore[call-overload]
        named, __base__=Recipe, __module__=__name__, __doc__=Recipe.__doc__, **fields
    )
    return made


def _artifact(kind: object) -> type[Artifact] | None:
    """The class of an artifact that an input is, or may be."""
    for one in (kind, *typing.get_args(kind)):
        if isinstance(one, type) and issubclass(one, Artifact):
            return one
    return None


def _pick(choice: str, kind: type[Artifact]) -> Artifact:
    found = find_artifact(choice, (str(kind.model_fields["kind"].default),))
    return kind.model_validate(found.model_dump())


def _help(argument: str, may_be_absent: bool) -> str:
    says, maker = INPUTS[argument]
    absent = " Empty: none." if may_be_absent else ""
    return (
        f"{says}{absent} A run and its stage, RUN/{maker} (a run's name may be cut short, "
        f"{LATEST} is the newest that ended well), or a digest."
    )


def _entry(
    name: str,
    about: str,
    fields: Mapping[str, _Field],
    result: type[BaseModel],
    run: Callable[..., Awaitable[BaseModel]],
) -> Entry:
    """A task of the driver with these inputs; Flyte finds it in this module by its name."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    run.__name__ = run.__qualname__ = name
    run.__doc__ = about
    run.__annotations__ = {**{n: field.kind for n, field in fields.items()}, "return": result}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(n, keyword, default=field.default, annotation=field.kind)
            for n, field in fields.items()
        ],
        return_annotation=result,
    )
    entry: Entry = DRIVER.task(timeout=within(days=180), report=True, entrypoint=True)(run)
    return entry


ENTRIES = {name: launch_recipe(name, make) for name, make in RECIPES.items()} | {
    name: launch_stage(name, stage) for name, stage in TASKS.items()
}
"""All of them, by name; each is a name of this module too."""
globals().update(ENTRIES)

DEPLOYED = (*ENTRIES.values(), *TRIGGERED, k2)
"""All of the environment `k2`."""
