"""`--set pretrain.lr=3e-3`: changes of a recipe from the command line."""

from collections.abc import Iterator, Mapping, Sequence

import yaml
from pydantic import BaseModel, ValidationError

from schemas.recipe import Recipe
from workflows.errors import BadRecipeError
from workflows.recipe_errors import describe_errors, suggest


def change(
    recipe: Recipe, settings: Sequence[str], sections: Mapping[str, BaseModel] | None = None
) -> Recipe:
    """The recipe with other sections, then `stage.field=value` settings; values are YAML.

    A section between them may be left out where only one has the field: `pretrain.lr`. One that is
    absent is begun by its first field: `ingest.files.folder=/data`, `ingest.files.license=MIT`.

    Raises:
        BadRecipeError: no such field, several such fields, or a recipe that is not valid.
    """
    tree = recipe.model_dump(mode="json")
    tree |= {name: section.model_dump(mode="json") for name, section in (sections or {}).items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise BadRecipeError(f"--set {setting}: write it as stage.field=value")
        _assign(tree, path.split("."), _parse(text), setting)
    return validated(tree)


def validated(tree: dict[str, object]) -> Recipe:
    """The recipe, or an error with one line for each wrong field."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        lines = describe_errors(error, Recipe)
        raise BadRecipeError(f"the recipe is not valid:\n{lines}") from None


class _Begun(dict[str, object]):
    """A section that a setting began: its fields are known when the whole is checked."""


def _assign(tree: dict[str, object], path: list[str], value: object, setting: str) -> None:
    node = tree
    for depth, name in enumerate(path[:-1]):
        section = node.get(name)
        if section in (None, []) and name in node:  # absent, or a list of none: it begins here
            section = node[name] = _Begun()
        if isinstance(section, list):
            section = _only(section, ".".join(path[: depth + 1]), setting)
        if not isinstance(section, dict):
            where = ".".join(path[:depth]) or "the recipe"
            raise BadRecipeError(
                f"--set {setting}: {where} has no section {name!r}; {suggest(name, node)}"
            )
        node = section
    holders = (
        [node]
        if path[-1] in node or isinstance(node, _Begun)
        else list(_sections_with(node, path[-1]))
    )
    if not holders:
        near = suggest(path[-1], node)
        raise BadRecipeError(f"--set {setting}: no field {path[-1]!r}; {near}")
    if len(holders) > 1:
        raise BadRecipeError(f"--set {setting}: several sections have a {path[-1]!r}; name one")
    holders[0][path[-1]] = value


def _only(sections: list[object], where: str, setting: str) -> object:
    """The one section of a list."""
    if len(sections) > 1:
        raise BadRecipeError(
            f"--set {setting}: {where} has {len(sections)} entries: write them all as YAML, or "
            "keep them in a recipe file"
        )
    return sections[0]


def _sections_with(node: dict[str, object], name: str) -> Iterator[dict[str, object]]:
    """Sections below a section that have the field: `pretrain.lr` is `pretrain.optim.lr`."""
    for section in node.values():
        if isinstance(section, dict):
            if name in section:
                yield section
            yield from _sections_with(section, name)


def _parse(text: str) -> object:
    value = yaml.safe_load(text)
    if isinstance(value, str):  # YAML 1.1 reads 3e-3 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value
