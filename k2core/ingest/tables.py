"""Tables and lists read out: each value found by its key, numbers put in another order.

Such text teaches what arithmetic does not, and what agents live on: to find a thing in what stands
before, and to repeat it exactly (in-context copying, arXiv:2209.11895).
"""

import json
import random
from collections.abc import Callable, Mapping

_CONSONANTS, _VOWELS = "bdfghklmnprstvz", "aeiou"
_COLUMNS = ("value", "number", "age", "score", "height", "year", "count", "level")


def read_table(rng: random.Random) -> str:
    """A few rows, then questions about each of them in another order."""
    column = rng.choice(_COLUMNS)
    rows = {_word(rng): rng.randrange(10 ** rng.randint(1, 4)) for _ in range(rng.randint(3, 6))}
    asked = rng.sample(sorted(rows), len(rows))
    form = rng.choice(_ANSWERS)
    lines = [form.format(column=column, key=key, value=rows[key]) for key in asked]
    return "\n".join([_write_table(rng, column, rows), *lines])


def rearrange_list(rng: random.Random) -> str:
    """A list of numbers or words, then the same in other orders."""
    if rng.random() < 0.5:
        items = [str(rng.randrange(10 ** rng.randint(1, 4))) for _ in range(rng.randint(3, 7))]
        ordered = sorted(items, key=int)
    else:
        items = [_word(rng) for _ in range(rng.randint(3, 6))]
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
    "list": rearrange_list,
}
"""Generators by name."""

_ANSWERS = (
    "The {column} of {key} is {value}.",
    'Question: What is the {column} of "{key}"? Answer: {value}',
    "{key}: {value}",
)


def _write_table(rng: random.Random, column: str, rows: Mapping[str, int]) -> str:
    if rng.random() < 0.3:
        return json.dumps({"column": column, "rows": rows})
    pairs = ", ".join(f"{key} {value}" for key, value in rows.items())
    return f"Table of the {column}: {pairs}."


def _word(rng: random.Random) -> str:
    """A word that nobody knows: it can only be copied."""
    syllables = (
        rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(("", "", *"nrst"))
        for _ in range(rng.randint(1, 3))
    )
    return "".join(syllables)
