"""What a user may want of an entity's records, in words and as a plan of calls."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from k2core.tools.ontology import Entity
from k2core.tools.records import draw_value


class Step(NamedTuple):
    """A call of the plan."""

    operation: str
    values: tuple[JsonValue, ...]
    """Arguments in order; `$N` stands for the result of the goal's N-th step."""
    fixed: dict[str, JsonValue]


class Planned(NamedTuple):
    """A goal with its plan."""

    text: str
    """The user's words."""
    details: dict[str, str]
    """What the words leave out, and the user tells when asked."""
    steps: tuple[Step, ...]
    asks: bool
    """Whether the last step's result is the answer that the user wants."""


Table = dict[str, dict[str, Any]]
Draw = Callable[[Entity, Table, dict[str, JsonValue], random.Random], Planned | None]


def draw_goal(entity: Entity, tables: dict[str, Table], rng: random.Random) -> Planned:
    """A goal that the records allow; they are changed as it will change them."""
    about: dict[str, JsonValue] = {"table": entity.name}
    while True:
        goal = rng.choice(_DRAWS)(entity, tables[entity.name], about, rng)
        if goal is not None:
            return goal


def _change(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """Set a field of a record that is named by one of its other fields, or by its id."""
    fields = [f for f, kind in entity.fields.items() if not kind.startswith("ref(")]
    field, (identity, found) = rng.choice(fields), _pick(entity, table, about, rng)
    value = draw_value(field, entity.fields[field], rng)
    table[identity][field] = value
    steps, who = found
    fixed = {**about, "field": field, "kind": entity.fields[field]}
    step = Step("set_field", (_it(steps, identity), value), fixed)
    words = _words(field)
    if rng.random() < 0.3:
        text = f"Please change the {words} of {who}."
        return Planned(text, {f"new {words}": _said(value)}, (*steps, step), asks=False)
    return Planned(f"Set the {words} of {who} to {_said(value)}.", {}, (*steps, step), asks=False)


def _advance(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """Take a record to its next state."""
    ready = [i for i, record in table.items() if record["state"] in entity.states[:-1]]
    if not ready:
        return None
    identity = rng.choice(ready)
    before = table[identity]["state"]
    after = entity.states[entity.states.index(before) + 1]
    steps, who = _name(entity, table, identity, about, rng)
    table[identity]["state"] = after
    step = Step("advance", (_it(steps, identity),), {**about, "before": before, "after": after})
    return Planned(f"Mark {who} as {_words(after)}.", {}, (*steps, step), asks=False)


def _end(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """End a record early."""
    alive = [i for i, r in table.items() if r["state"] not in (entity.ended, entity.states[-1])]
    if not alive:
        return None
    identity = rng.choice(alive)
    steps, who = _name(entity, table, identity, about, rng)
    table[identity]["state"] = entity.ended
    fixed = {**about, "after": entity.ended, "last": entity.states[-1]}
    step = Step("end", (_it(steps, identity),), fixed)
    return Planned(f"Please mark {who} as {_words(entity.ended)}.", {}, (*steps, step), asks=False)


def _best_then(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """Raise or lower a number of the record that has most or least of something."""
    if not entity.numbers or not table:
        return None
    field, how = rng.choice(entity.numbers), rng.choice(("max", "min"))
    choose = max if how == "max" else min
    identity = choose(table, key=lambda i: table[i][field])
    sign = rng.choice((1, -1))
    amount = rng.randrange(1, 10)
    if sign < 0 and table[identity][field] < amount:
        return None
    table[identity][field] += sign * amount
    first = Step("extreme", (), {**about, "field": field, "how": how})
    then = Step("add_to", ("$0", amount), {**about, "field": field, "sign": sign})
    verb = "Raise" if sign > 0 else "Lower"
    most = "highest" if how == "max" else "lowest"
    noun = _words(entity.name)
    text = f"{verb} the {_words(field)} of the {noun} with the {most} {_words(field)} by {amount}."
    return Planned(text, {}, (first, then), asks=True)


def _move(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """Take an amount from one record to another."""
    fields = [f for f in entity.numbers if sum(r[f] >= 2 for r in table.values()) >= 1]
    if not fields or len(table) < 2:
        return None
    field = rng.choice(fields)
    source = rng.choice([i for i, record in table.items() if record[field] >= 2])
    target = rng.choice([i for i in table if i != source])
    amount = rng.randrange(1, int(table[source][field]) + 1)
    table[source][field] -= amount
    table[target][field] += amount
    step = Step("move_between", (source, target, amount), {**about, "field": field})
    text = f"Move {amount} {_words(field)} from {source} to {target}."
    return Planned(text, {}, (step,), asks=False)


def _create(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """Register a record; some of its fields are told only when asked."""
    if entity.references:
        return None
    values = {field: draw_value(field, kind, rng) for field, kind in entity.fields.items()}
    number = len(table) + 1
    if any(int(i.rpartition("_")[2]) >= number for i in table):
        return None  # something was deleted: the next id is not the next number
    table[f"{entity.name}_{number}"] = {**values, "state": entity.states[0]}
    left_out = rng.sample(sorted(values), rng.choice((0, 0, 1, 2)))
    told = ", ".join(f"{_words(f)} {_said(v)}" for f, v in values.items() if f not in left_out)
    details = {_words(f): _said(values[f]) for f in left_out}
    kinds: dict[str, JsonValue] = {**entity.fields, "state": entity.cycle}
    step = Step("create", tuple(values.values()), {**about, "kinds": kinds})
    noun = _words(entity.name)
    return Planned(f"Register a new {noun}: {told}.", details, (step,), asks=True)


def _ask(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> Planned | None:
    """Something to look up: a field, a count, a sum, the records in a state."""
    noun, kind = _words(entity.name), rng.choice(("show_field", "count_all", "sum", "state"))
    if kind == "show_field":
        field = rng.choice(sorted(entity.fields))
        identity, (steps, who) = _pick(entity, table, about, rng)
        step = Step("show_field", (_it(steps, identity),), {**about, "field": field})
        return Planned(
            f"What is the {_words(field)} of {who}", {}, (*steps, step), asks=True
        )._replace(text=f"Tell me the {_words(field)} of {who}.")
    if kind == "count_all":
        step = Step("count_all", (), about)
        return Planned(f"How many {noun} records are there?", {}, (step,), asks=True)
    if kind == "sum" and entity.numbers:
        field = rng.choice(entity.numbers)
        step = Step("aggregate", (), {**about, "field": field, "how": "sum"})
        return Planned(f"What is the total {_words(field)}?", {}, (step,), asks=True)
    state = rng.choice(entity.states)
    step = Step("find_state", (), {**about, "state": state})
    return Planned(f"Which {noun} records are {_words(state)}?", {}, (step,), asks=True)


_DRAWS: Sequence[Draw] = (_change, _advance, _end, _best_then, _move, _create, _ask, _ask)


def _pick(
    entity: Entity, table: Table, about: dict[str, JsonValue], rng: random.Random
) -> tuple[str, tuple[tuple[Step, ...], str]]:
    identity = rng.choice(sorted(table))
    return identity, _name(entity, table, identity, about, rng)


def _name(
    entity: Entity, table: Table, identity: str, about: dict[str, JsonValue], rng: random.Random
) -> tuple[tuple[Step, ...], str]:
    """How the user names a record, and the steps that find it: by a text that is its alone."""
    record, noun = table[identity], _words(entity.name)
    own = [
        field
        for field, kind in entity.fields.items()
        if kind == "text" and sum(r[field] == record[field] for r in table.values()) == 1
    ]
    if not own or rng.random() < 0.4:
        return (), identity
    field = rng.choice(own)
    fixed = {**about, "field": field, "kind": "text"}
    step = Step("find", (record[field],), fixed)
    return (step,), f"the {noun} whose {_words(field)} is {record[field]}"


def _it(steps: Sequence[Step], identity: str) -> str:
    return "$0" if steps else identity


def _words(name: str) -> str:
    return name.replace("_", " ")


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
