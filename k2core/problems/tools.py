"""Generated tools: compact specs and the semantics that an environment binds to their names."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from schemas.chat import Problem, ToolSpec

OLD = "old"
"""Table of the copy of records that may be out of date."""


class Tool(NamedTuple):
    """A tool as the model sees it, and as the environment executes it."""

    spec: ToolSpec
    binding: dict[str, JsonValue]


class Names(NamedTuple):
    """The words that a generated tool may use."""

    tools: Sequence[str]
    arguments: Sequence[Sequence[str]]
    """Alternatives, each with as many names as the operation has arguments."""


def make_tool(
    rng: random.Random,
    names: Names,
    description: str,
    operation: str,
    kind: str,
    **extra: JsonValue,
) -> Tool:
    """A variant of a tool: one of its names, one of its sets of argument names.

    Args:
        rng: draws the variant.
        names: what there is to draw from.
        description: what the model reads.
        operation: semantics, by the environment's name for it.
        kind: JSON type of the arguments; the last one is an integer where it is `mixed`.
        extra: of the binding: `fixed`, `busy_rate`.
    """
    name, arguments = rng.choice(names.tools), rng.choice(names.arguments)
    kinds = [kind] * len(arguments)
    if kind == "mixed":
        kinds = ["string"] * (len(arguments) - 1) + ["integer"]
    properties = {a: {"type": k} for a, k in zip(arguments, kinds, strict=True)}
    parameters: dict[str, object] = {
        "type": "object",
        "properties": properties,
        "required": list(arguments),
    }
    spec = ToolSpec(name=name, description=description, parameters=parameters)
    return Tool(spec, {"operation": operation, "arguments": list(arguments), **extra})


def environment_state(
    tools: Sequence[Tool], data: Mapping[str, JsonValue], **extra: JsonValue
) -> dict[str, JsonValue]:
    """Initial state of a simulator that serves these tools over this data."""
    bindings: dict[str, JsonValue] = {tool.spec.name: tool.binding for tool in tools}
    return {"tools": bindings, "data": dict(data), **extra}


def shuffled_specs(rng: random.Random, tools: Sequence[Tool]) -> tuple[ToolSpec, ...]:
    """The specs in any order: a model must read names, not positions."""
    specs = [tool.spec for tool in tools]
    rng.shuffle(specs)
    return tuple(specs)


def find_tool(problem: Problem, operation: str, table: str | None = None) -> ToolSpec:
    """The declared tool that does this, whatever it is called.

    Args:
        problem: of a generated family.
        operation: semantics, by the environment's name for it.
        table: that it works on, where several tools do the same.
    """
    bindings: Any = problem.state["tools"]
    return next(
        tool
        for tool in problem.tools
        if (bound := bindings.get(tool.name, {})).get("operation") == operation
        and table in (None, bound.get("fixed", {}).get("table"))
    )


def reads_old_copy(problem: Problem, name: str) -> bool:
    """Whether a tool of this name answers from the copy that may be out of date."""
    if problem.environment != "records":
        return False
    bindings: Any = problem.state["tools"]
    found: bool = bindings.get(name, {}).get("fixed", {}).get("table") == OLD
    return found


def name_arguments(tool: ToolSpec, *values: JsonValue) -> dict[str, JsonValue]:
    """The values under the tool's argument names.

    `required` has them in the operation's order, whatever the order of their declaration.
    """
    names: Any = tool.parameters["required"]
    return dict(zip(names, values, strict=True))
