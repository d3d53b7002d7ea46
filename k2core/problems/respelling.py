"""A problem's tools in other words: declared and bound anew, and nothing else changed."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import JsonValue, TypeAdapter

from schemas.chat import Problem, ToolSpec

_BINDINGS = TypeAdapter(dict[str, dict[str, JsonValue]])
_NAMES = TypeAdapter(list[str])


class Spelling(NamedTuple):
    """How one tool is declared."""

    name: str
    description: str
    arguments: tuple[str, ...]
    """In the order of the operation's."""
    shown: tuple[str, ...] = ()
    """The same in the order in which they are declared, if that is another."""


class Role(NamedTuple):
    """What a tool is for, whatever it is called."""

    operation: str
    """`old` reads an old copy."""
    what: str
    """What it is about: the last word of its first name."""
    num_arguments: int


class Respelt(NamedTuple):
    """A problem whose tools have other words, and what became of the first ones."""

    problem: Problem
    names: Mapping[str, str]
    arguments: Mapping[str, Mapping[str, str]]
    """Tool's first name -> first argument -> new one."""


def respell(problem: Problem, spell: Callable[[Role], Spelling]) -> Respelt:
    """The same problem with every tool in other words; what it does, and all else, stays.

    Args:
        problem: of a generated family.
        spell: the words of a tool.
    """
    bindings = _BINDINGS.validate_python(problem.state["tools"])
    names: dict[str, str] = {}
    arguments: dict[str, dict[str, str]] = {}
    specs, bound = [], dict[str, JsonValue]()
    for tool in problem.tools:
        binding = bindings[tool.name]
        first = _NAMES.validate_python(binding["arguments"])
        spelt = spell(_role(tool, str(binding["operation"]), len(first)))
        names[tool.name] = spelt.name
        arguments[tool.name] = dict(zip(first, spelt.arguments, strict=True))
        specs.append(_declare(tool, spelt, arguments[tool.name]))
        bound[spelt.name] = {**binding, "arguments": list(spelt.arguments)}
    update = {"tools": tuple(specs), "state": {**problem.state, "tools": bound}}
    return Respelt(problem.model_copy(update=update), names, arguments)


def _role(tool: ToolSpec, operation: str, num_arguments: int) -> Role:
    kind = "old" if operation == "read" and tool.name.startswith("old_") else operation
    return Role(kind, tool.name.rpartition("_")[2], num_arguments)


def _declare(tool: ToolSpec, spelt: Spelling, renamed: Mapping[str, str]) -> ToolSpec:
    """The declaration in its new words; types stay."""
    kinds = _BINDINGS.validate_python(tool.parameters["properties"])
    properties: dict[str, JsonValue] = {renamed[name]: kind for name, kind in kinds.items()}
    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": {name: properties[name] for name in spelt.shown or properties},
        "required": list(properties),
    }
    return ToolSpec(name=spelt.name, description=spelt.description, parameters=parameters)
