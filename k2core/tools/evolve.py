"""Hierarchical evolution of tools: categories -> domains -> entities -> tools, and their variants.

arXiv:2507.20534, section 3.1.1: "key categories" evolve into domains, and those into tools with
interface, description and semantics. Here the semantics come first: an operation of
`k2core.environments.entities` on an entity. Interfaces are then worded in several ways, as by
different vendors, so that a model must read declarations and not remember them.
"""

import json
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from k2core.problems.tools import Tool
from k2core.tools.grammar import WORDINGS, VendorStyle, describe_field, draw_style, json_type
from k2core.tools.ontology import Entity, read_ontology
from schemas.chat import ToolSpec


class Semantics(NamedTuple):
    """What a tool does: an operation with its fixed parameters, and the arguments it leaves."""

    operation: str
    arguments: tuple[tuple[str, str], ...]
    """Role -> kind, in the operation's order, e.g. `(("id", "ref(order)"), ("value", "int"))`."""
    fixed: dict[str, JsonValue]
    focus: str = ""
    """The field or state that it is about."""


class SyntheticTool(NamedTuple):
    """A tool with its place in the hierarchy."""

    entity: Entity
    semantics: Semantics
    tool: Tool

    @property
    def spec(self) -> ToolSpec:
        """As a model sees it."""
        return self.tool.spec


def list_semantics(entity: Entity) -> Iterator[Semantics]:
    """All that can be done with an entity."""
    table: dict[str, JsonValue] = {"table": entity.name}
    one = (("id", f"ref({entity.name})"),)
    kinds: dict[str, JsonValue] = {**entity.fields, "state": entity.cycle}
    yield Semantics("create", tuple(entity.fields.items()), {**table, "kinds": kinds})
    for operation in ("show", "delete"):
        yield Semantics(operation, one, table)
    for operation in ("list_all", "count_all"):
        yield Semantics(operation, (), table)
    for field, kind in entity.fields.items():
        about = {**table, "field": field}
        yield Semantics("show_field", one, about, field)
        yield Semantics("set_field", (*one, (field, kind)), {**about, "kind": kind}, field)
        for operation in ("find", "count_where"):
            yield Semantics(operation, ((field, kind),), {**about, "kind": kind}, field)
        if kind in ("int", "number", "date"):
            bounds = ((f"min_{field}", kind), (f"max_{field}", kind))
            yield Semantics("find_range", bounds, {**about, "kind": kind}, field)
    yield from _list_numbers(entity, table, one)
    yield from _list_states(entity, table, one)


def _list_numbers(
    entity: Entity, table: dict[str, JsonValue], one: tuple[tuple[str, str], ...]
) -> Iterator[Semantics]:
    own = f"ref({entity.name})"
    for field in entity.numbers:
        about, kind = {**table, "field": field}, entity.fields[field]
        for sign in (1, -1):
            yield Semantics("add_to", (*one, ("amount", kind)), {**about, "sign": sign}, field)
        ends = (("source", own), ("target", own), ("amount", kind))
        yield Semantics("move_between", ends, about, field)
        yield Semantics("compare", (("first", own), ("second", own)), about, field)
        for how in ("sum", "mean"):
            yield Semantics("aggregate", (), {**about, "how": how}, field)
        for how in ("max", "min"):
            yield Semantics("extreme", (), {**about, "how": how}, field)


def _list_states(
    entity: Entity, table: dict[str, JsonValue], one: tuple[tuple[str, str], ...]
) -> Iterator[Semantics]:
    yield Semantics("show_field", one, {**table, "field": "state"}, "state")
    for state in (*entity.states, entity.ended):
        yield Semantics("find_state", (), {**table, "state": state}, state)
    for before, after in zip(entity.states, entity.states[1:], strict=False):
        yield Semantics("advance", one, {**table, "before": before, "after": after}, after)
    last = {"after": entity.ended, "last": entity.states[-1]}
    yield Semantics("end", one, {**table, **last}, entity.ended)


def evolve_tools(
    num_variants: int = 3, seed: int = 0, entities: Sequence[Entity] | None = None
) -> Iterator[SyntheticTool]:
    """Every operation on every entity in up to `num_variants` different interfaces.

    Equal arguments give equal tools; no two specs are equal.
    """
    seen: set[str] = set()
    for entity in entities or read_ontology():
        for semantics in list_semantics(entity):
            about = [entity.domain, entity.name, semantics.operation, semantics.fixed]
            rng = random.Random(f"{seed}/{json.dumps(about, sort_keys=True)}")
            for _ in range(num_variants):
                made = make_tool(entity, semantics, draw_style(rng), rng)
                text = made.spec.model_dump_json()
                if text not in seen:
                    seen.add(text)
                    yield made


def make_tool(
    entity: Entity, semantics: Semantics, style: VendorStyle, rng: random.Random
) -> SyntheticTool:
    """One interface to an operation, in a vendor's style."""
    wording = WORDINGS[semantics.operation]
    noun, focus = entity.name, semantics.focus
    sign = semantics.fixed.get("sign", semantics.fixed.get("how", ""))
    verb = rng.choice(wording.verbs[str(sign)])
    name = style.join(verb, noun, focus, plural=wording.plural)
    arguments = [style.name_argument(role, noun) for role, _ in semantics.arguments]
    properties: dict[str, JsonValue] = {
        argument: {"type": json_type(kind), "description": describe_field(role, kind, noun)}
        if style.describes
        else {"type": json_type(kind)}
        for argument, (role, kind) in zip(arguments, semantics.arguments, strict=True)
    }
    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": properties,
        "required": list(arguments),
    }
    text = rng.choice(wording.texts[str(sign)]).format(
        noun=noun.replace("_", " "), focus=focus.replace("_", " "), domain=entity.domain
    )
    spec = ToolSpec(name=name[:64], description=text, parameters=parameters)
    binding: dict[str, JsonValue] = {
        "operation": semantics.operation,
        "arguments": list(arguments),
        "fixed": semantics.fixed,
    }
    return SyntheticTool(entity, semantics, Tool(spec, binding))
