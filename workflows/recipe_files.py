"""Recipes by name, from a user's YAML file, or from a function of a user's Python file."""

import importlib.util
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from schemas.recipe import Recipe
from workflows.errors import BadRecipeError
from workflows.overrides import change
from workflows.recipe_errors import Loc, describe_errors, section_of, suggest
from workflows.recipes import RECIPES

BASE = "base"
"""The key of a file that names the recipe from which it starts."""
_PLACES = ("folder", "path")
"""Fields that hold paths, which a file names from where it lies itself."""


def load_recipe(name: str, settings: Sequence[str]) -> Recipe:
    """A recipe with settings: `tiny`, `my.yaml` or `my.py:recipe`.

    Raises:
        BadRecipeError: there is none, or it is not valid; says in which line, and what would be.
    """
    return change(_find(name), settings)


def _find(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]()
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml", ".json"):
        return read_recipe(path)
    file, colon, function = name.rpartition(":")
    if colon and file.endswith(".py"):
        return _call(Path(file).expanduser(), function)
    raise BadRecipeError(
        f"no recipe {name!r}; there are {', '.join(RECIPES)}, or a file of your own: my.yaml, "
        "my.py:function"
    )


def read_recipe(path: Path) -> Recipe:
    """A YAML file: the fields that differ from those of the recipe that its `base` names.

    Raises:
        BadRecipeError: as of `load_recipe`.
    """
    given = _parse(path)
    base = given.tree.pop(BASE, "tiny")
    if not isinstance(base, str) or base not in RECIPES:
        known = suggest(str(base), RECIPES)
        raise BadRecipeError(f"{given.where([BASE])}base: no recipe {base!r}; {known}")
    tree = RECIPES[base]().model_dump(mode="json")
    tree["name"] = "".join(c if c.isalnum() or c in "_-" else "_" for c in path.stem.lower())
    merged = _merge(Recipe, tree, _settle(given.tree, path.absolute().parent))
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        lines = describe_errors(error, Recipe, given.where)
        raise BadRecipeError(f"the recipe is not valid:\n{lines}") from None


class _Given(NamedTuple):
    """What a file says, and where."""

    path: Path
    tree: dict[str, object]
    root: yaml.Node

    def where(self, loc: Loc) -> str:
        """`my.yaml, line 3: ` of a field, or of the section that lacks it."""
        node, line = self.root, None
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == str(part)]
                if not found:
                    break
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line + 1
        return f"{self.path}: " if line is None else f"{self.path}, line {line}: "


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """A mapping as a dictionary."""
        keys = [key.value for key, _ in node.value]
        for number, (key, _) in enumerate(node.value):
            if key.value in keys[:number]:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} stands twice", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> _Given:
    try:
        text = path.read_text(encoding="utf-8")
        tree, root = yaml.load(text, _Loader), yaml.compose(text, yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecipeError(f"{path}: it cannot be read: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise BadRecipeError(f"{path}, line {line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise BadRecipeError(f"{path}: {error}") from None
    if tree is None:
        raise BadRecipeError(f"{path}: it says nothing; `k2 schema --template` shows what it may")
    if not isinstance(tree, dict) or root is None:
        raise BadRecipeError(f"{path}: sections are wanted, as `clean:` with fields below it")
    return _Given(path, tree, root)


def _merge(
    model: type[BaseModel], tree: dict[str, object], given: Mapping[str, object]
) -> dict[str, object]:
    """Sections field by field; a value, a list or a table of names is replaced whole."""
    merged = dict(tree)
    for name, value in given.items():
        field, known = model.model_fields.get(name), tree.get(name)
        section = section_of(field.annotation) if field else None
        is_one = section and isinstance(known, dict) and known.keys() == section.model_fields.keys()
        if section and is_one and isinstance(value, dict) and isinstance(known, dict):
            merged[name] = _merge(section, known, value)
        else:
            merged[name] = value
    return merged


def _settle(tree: Mapping[str, object], base: Path) -> dict[str, object]:
    """Paths that are named from where the file lies, from the root."""
    return {name: _settled(value, base, name) for name, value in tree.items()}


def _settled(value: object, base: Path, name: str) -> object:
    if isinstance(value, dict):
        return _settle(value, base)
    if isinstance(value, list):
        return [_settled(inner, base, name) for inner in value]
    if name in _PLACES and isinstance(value, str) and value and "://" not in value:
        return str(base / Path(value).expanduser())
    return value


def _call(path: Path, function: str) -> Recipe:
    """What a function of a Python file returns."""
    spec = importlib.util.spec_from_file_location(f"k2_recipe_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise BadRecipeError(f"{path}: there is no such file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make: Callable[[], Recipe] | None = getattr(module, function, None)
    if not callable(make):
        raise BadRecipeError(f"{path} has no function {function!r}")
    try:
        made = make()
    except ValidationError as error:
        raise BadRecipeError(f"{path}:{function}:\n{describe_errors(error, Recipe)}") from None
    if not isinstance(made, Recipe):
        raise BadRecipeError(f"{path}:{function} returns no Recipe, but {type(made).__name__}")
    return made
