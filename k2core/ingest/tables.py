"""Tables, records and lists read out: each value found by its key, items put in another order.

Such text teaches what arithmetic does not, and what agents live on: to find a thing in what stands
before, and to repeat it exactly (in-context copying, arXiv:2209.11895).
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from k2core.problems.words import ITEMS, PEOPLE

_CONSONANTS, _VOWELS = "bdfghklmnprstvz", "aeiou"
_COLUMNS = (
    *("value", "number", "age", "score", "height", "year", "count", "level"),
    *("phone", "room", "code", "desk", "price", "stock", "size", "weight"),
)
_NAMES = (*PEOPLE, *ITEMS)


def read_table(rng: random.Random) -> str:
    """A few rows, then questions about each of them in another order."""
    column = rng.choice(_COLUMNS)
    rows = {_key(rng): _number(rng) for _ in range(rng.randint(3, 6))}
    form = rng.choice(_ANSWERS)
    lines = [form.format(column=column, key=key, value=value) for key, value in rows.items()]
    return "\n".join([_write_table(rng, column, rows), *rng.sample(lines, len(lines))])


def read_record(rng: random.Random) -> str:
    """One JSON object, then its fields in another order."""
    name = _key(rng)
    fields = {column: _number(rng) for column in rng.sample(_COLUMNS, rng.randint(2, 4))}
    form = rng.choice(_ANSWERS[:2])
    lines = [form.format(column=column, key=name, value=value) for column, value in fields.items()]
    return "\n".join([_write_json({"name": name, **fields}), *rng.sample(lines, len(lines))])


def rearrange_list(rng: random.Random) -> str:
    """A list of numbers or words, then the same in other orders."""
    if rng.random() < 0.5:
        items = [_number(rng) for _ in range(rng.randint(3, 7))]
        ordered = sorted(items, key=int)
    else:
        items = [_key(rng) for _ in range(rng.randint(3, 6))]
        ordered = sorted(items)
    count = rng.randint(1, len(items))
    lines = [
        f"Again: {', '.join(items)}",
        f"From the end: {', '.join(reversed(items))}",
        f"The first {count}: {', '.join(items[:count])}",
        f"The last {count}: {', '.join(items[-count:])}",
        f"In order: {', '.join(ordered)}",
    ]
    return "\n".join([f"List: {', '.join(items)}", *rng.sample(lines, 3)])


TABLES: Mapping[str, Callable[[random.Random], str]] = {
    "table": read_table,
    "record": read_record,
    "list": rearrange_list,
}
"""Generators by name."""

_ANSWERS = (
    "The {column} of {key} is {value}.",
    'Question: What is the {column} of "{key}"? Answer: {value}',
    "{key}: {value}",
)


def _write_table(rng: random.Random, column: str, rows: Mapping[str, str]) -> str:
    if rng.random() < 0.3:
        return _write_json({"column": column, "rows": rows})
    pairs = ", ".join(f"{key} {value}" for key, value in rows.items())
    return f"Table of the {column}: {pairs}."


def _write_json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


def _number(rng: random.Random) -> str:
    """One to four digits."""
    return str(rng.randrange(10 ** rng.randint(1, 4)))


def _key(rng: random.Random) -> str:
    """A common name, or a word that nobody knows."""
    return rng.choice(_NAMES) if rng.random() < 0.5 else _word(rng)


def _word(rng: random.Random) -> str:
    """It can only be copied."""
    syllables = (
        rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(("", "", *"nrst"))
        for _ in range(rng.randint(1, 3))
    )
    return "".join(syllables)
