"""All that a recipe may say: a JSON schema for editors, and YAML with every field explained."""

import json
import textwrap
from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from schemas.recipe import Recipe
from workflows.errors import BadRecipeError
from workflows.recipe_errors import section_of, suggest
from workflows.recipe_files import BASE
from workflows.recipes import RECIPES

_WIDTH = 96
_HEAD = """\
# yaml-language-server: $schema=recipe.schema.json
# A recipe: `k2 run --recipe FILE`. What is left out is as in the recipe that `base` names.
# `k2 schema > recipe.schema.json` beside it lets an editor complete and check it.
"""


def recipe_schema(section: str = "") -> str:
    """The JSON schema of recipe files, or of a section of them."""
    schema = _model_at(section).model_json_schema()
    if not section:
        about = {
            "type": "string",
            "enum": list(RECIPES),
            "default": "tiny",
            "description": "The recipe from which the file starts.",
        }
        properties = schema["properties"]
        assert isinstance(properties, dict)
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["properties"] = {BASE: about, **properties}
    return json.dumps(schema, indent=1)


def recipe_template(recipe: Recipe, section: str = "") -> str:
    """A recipe in full as a file, each field with what it means."""
    value: BaseModel = recipe
    for name in filter(None, section.split(".")):
        inner = getattr(value, name, None)
        if not isinstance(inner, BaseModel):
            raise BadRecipeError(f"{section}: it is no section of {recipe.name}: see `k2 schema`")
        value = inner
    names = section.split(".") if section else []
    heads = [f"{'  ' * depth}{name}:" for depth, name in enumerate(names)]
    lines = [*heads, *_fields(value, len(names))]
    return f"{_HEAD}{BASE}: {recipe.name}\n" + "\n".join(lines) + "\n"


def _fields(value: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    tree = value.model_dump(mode="json")
    for name, field in type(value).model_fields.items():
        about = " ".join((field.description or "").split())
        for line in textwrap.wrap(about, _WIDTH - len(indent)):
            yield f"{indent}# {line}"
        inner = getattr(value, name)
        if isinstance(inner, BaseModel):
            yield f"{indent}{name}:" + ("" if type(inner).model_fields else " {}")
            yield from _fields(inner, depth + 1)
        else:
            text = yaml.safe_dump({name: tree[name]}, sort_keys=False, allow_unicode=True, width=90)
            yield textwrap.indent(text.rstrip("\n"), indent)


def _model_at(section: str) -> type[BaseModel]:
    model: type[BaseModel] = Recipe
    for name in filter(None, section.split(".")):
        field = model.model_fields.get(name)
        inner = section_of(field.annotation) if field else None
        if inner is None:
            raise BadRecipeError(f"no section {section!r}: {suggest(name, model.model_fields)}")
        model = inner
    return model
