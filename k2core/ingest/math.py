"""Mathematics: verifiable problems with answers, worked arithmetic, tables."""

import random
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from k2core.ingest.source import Item
from k2core.ingest.tables import TABLES
from k2core.ingest.worked import WORKED
from schemas.ingest import IngestConfig

REASONING_GYM = (
    "basic_arithmetic",
    "calendar_arithmetic",
    "chain_sum",
    "fraction_simplification",
    "gcd",
    "gsm_symbolic",
    "lcm",
    "leg_counting",
    "letter_counting",
    "number_filtering",
    "prime_factorization",
    "simple_equations",
    "simple_geometry",
    "time_intervals",
    "word_sequence_reversal",
)
"""Generators that answer in a word or a number and take less than a millisecond."""
Generator = Callable[[random.Random], str]
"""Text from a seeded generator."""
_SIZE = 100_000
"""Problems of each generator that can be drawn; some shuffle as many templates first."""


def list_reasoning_gym(config: IngestConfig) -> list[Item]:
    """Problems of reasoning-gym, as many of each generator."""
    return [
        Item(f"{name}/{config.seed}/{number}", partial(_write_problem, name, config.seed, number))
        for name in REASONING_GYM
        for number in range(_share(config.num_math, len(REASONING_GYM)))
    ]


def list_worked(config: IngestConfig) -> list[Item]:
    """Worked arithmetic, as many of each operation."""
    return _list(WORKED, config.seed, config.num_math)


def list_tables(config: IngestConfig) -> list[Item]:
    """Tables, records and lists read out, as many of each."""
    return _list(TABLES, config.seed, config.num_tables)


def _list(generators: Mapping[str, Generator], seed: int, count: int) -> list[Item]:
    return [
        Item(f"{name}/{seed}/{number}", partial(_write, make, name, seed, number))
        for name, make in generators.items()
        for number in range(_share(count, len(generators)))
    ]


def _share(count: int, num_generators: int) -> int:
    # Enough of each for any sample; items are only names until they are read.
    return -(-count // num_generators)


def _write(make: Generator, name: str, seed: int, number: int) -> str:
    return make(random.Random(f"{name}/{seed}/{number}"))


def _write_problem(name: str, seed: int, number: int) -> str:
    entry = _dataset(name, seed)[number]
    return f"Question: {' '.join(entry['question'].split())}\nAnswer: {entry['answer']}"


@cache
def _dataset(name: str, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of a package that it imports
        import reasoning_gym

    return reasoning_gym.create_dataset(name, size=_SIZE, seed=seed)
