"""`--set pretrain.lr=3e-3`: changes of a recipe from the command line."""

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.recipe import Recipe


class BadRecipeError(ValueError):
    """A recipe that says something impossible; the message names each field."""


def change(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with `field.field=value` settings applied; values are YAML."""
    tree = recipe.model_dump(mode="json")
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise BadRecipeError(f"--set {setting}: write it as stage.field=value")
        _assign(tree, path.split("."), _parse(text), setting)
    return validated(tree)


def validated(tree: dict[str, Any]) -> Recipe:
    """The recipe, or an error with one line for each wrong field."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'recipe'}: {e['msg']}"
            + (f" (got {e['input']!r})" if not isinstance(e["input"], dict) else "")
            for e in error.errors()
        ]
        raise BadRecipeError("the recipe is not valid:\n" + "\n".join(lines)) from None


def _assign(tree: dict[str, Any], path: list[str], value: object, setting: str) -> None:
    node: Any = tree
    for depth, name in enumerate(path[:-1]):
        if not isinstance(node.get(name), dict):
            known = ", ".join(sorted(node))
            where = ".".join(path[:depth]) or "the recipe"
            raise BadRecipeError(f"--set {setting}: {where} has no section {name!r}; has {known}")
        node = node[name]
    if path[-1] not in node:
        known = ", ".join(sorted(node))
        raise BadRecipeError(f"--set {setting}: no field {path[-1]!r}; there are {known}")
    node[path[-1]] = value


def _parse(text: str) -> object:
    value = yaml.safe_load(text)
    if isinstance(value, str):  # YAML 1.1 reads 3e-3 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value
