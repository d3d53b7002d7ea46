"""The same problems with tools that no training dialogue declares, under other names and words."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue, TypeAdapter

from schemas.chat import Problem, ToolSpec

_BINDINGS = TypeAdapter(dict[str, dict[str, JsonValue]])
_NAMES = TypeAdapter(list[str])


class Vocabulary(NamedTuple):
    """How an operation's tool is called where nobody has seen it."""

    names: tuple[str, ...]
    """`{what}` stands for what the tool is about: the last word of its seen name."""
    description: str


UNSEEN = {
    "add": Vocabulary(("total", "addition"), "Gives the total of two values."),
    "multiply": Vocabulary(("scale", "multiplication"), "Scales a value by another."),
    "larger": Vocabulary(("greater", "top_of"), "Gives the greater value."),
    "read": Vocabulary(("fetch_{what}", "show_{what}"), "Shows the {what} that is on file."),
    "old": Vocabulary(("archived_{what}",), "The {what} as it was archived."),
    "move": Vocabulary(("hand_over", "shift_coins"), "Hands coins over."),
    "read_balance": Vocabulary(("purse", "coins_of"), "Coins that somebody has."),
}
"""By operation; `old` reads an old copy."""
_ARGUMENTS = {
    1: (("key",), ("of",)),
    2: (("first", "second"), ("m", "n")),
    3: (("giver", "receiver", "count"), ("payer", "payee", "number")),
}
"""By how many there are."""


class Unseen(NamedTuple):
    """A problem with unseen tools, and what became of the names of the seen ones."""

    problem: Problem
    names: Mapping[str, str]
    arguments: Mapping[str, Mapping[str, str]]
    """Tool's seen name -> seen argument -> unseen one."""


def with_unseen_tools(problem: Problem) -> Unseen:
    """Rename every tool of a generated problem; what it does, and all else, stays as it is.

    Raises:
        ValueError: a tool that `UNSEEN` has no words for.
    """
    rng = random.Random(f"unseen {problem.problem_id}")
    # One draw a problem: a live server and its old copy take the same.
    spelt = {count: rng.choice(spellings) for count, spellings in _ARGUMENTS.items()}
    bindings = _BINDINGS.validate_python(problem.state["tools"])
    names: dict[str, str] = {}
    arguments: dict[str, dict[str, str]] = {}
    specs, bound = [], dict[str, JsonValue]()
    for tool in problem.tools:
        binding = bindings[tool.name]
        words, what = _words(tool, str(binding["operation"])), tool.name.rpartition("_")[2]
        name = rng.choice(words.names).format(what=what)
        seen = _NAMES.validate_python(binding["arguments"])
        new = spelt[len(seen)]
        names[tool.name], arguments[tool.name] = name, dict(zip(seen, new, strict=True))
        specs.append(_respell(tool, name, words.description.format(what=what), new))
        bound[name] = {**binding, "arguments": list(new)}
    update = {"tools": tuple(specs), "state": {**problem.state, "tools": bound}}
    return Unseen(problem.model_copy(update=update), names, arguments)


def _words(tool: ToolSpec, operation: str) -> Vocabulary:
    kind = "old" if operation == "read" and tool.name.startswith("old_") else operation
    if kind not in UNSEEN:
        raise ValueError(f"{tool.name}: no unseen words for the operation {operation}")
    return UNSEEN[kind]


def _respell(tool: ToolSpec, name: str, description: str, arguments: tuple[str, ...]) -> ToolSpec:
    """The declaration in its new words; types stay."""
    kinds = _BINDINGS.validate_python(tool.parameters["properties"]).values()
    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": dict(zip(arguments, kinds, strict=True)),
        "required": list(arguments),
    }
    return ToolSpec(name=name, description=description, parameters=parameters)
