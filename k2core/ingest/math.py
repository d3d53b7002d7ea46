"""Mathematics: verifiable problems with their answers, and arithmetic worked step by step."""

import random
import warnings
from functools import cache, partial
from typing import Any

from k2core.ingest.source import Item
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
    "prime_factorization",
    "simple_equations",
    "simple_geometry",
    "time_intervals",
)
"""Generators that answer in a word or a number and take less than a millisecond."""
_SIZE = 100_000
"""Problems of each generator that can be drawn; some shuffle as many templates first."""


def list_reasoning_gym(config: IngestConfig) -> list[Item]:
    """Problems of reasoning-gym, as many of each generator."""
    return [
        Item(f"{name}/{config.seed}/{number}", partial(_write_problem, name, config.seed, number))
        for name in REASONING_GYM
        for number in range(_share(config, len(REASONING_GYM)))
    ]


def list_worked(config: IngestConfig) -> list[Item]:
    """Worked arithmetic, as many of each operation."""
    return [
        Item(f"{name}/{config.seed}/{number}", partial(_work, name, config.seed, number))
        for name in WORKED
        for number in range(_share(config, len(WORKED)))
    ]


def _share(config: IngestConfig, num_generators: int) -> int:
    # Enough of each for any sample; items are only names until they are read.
    return -(-config.num_math // num_generators)


def _work(name: str, seed: int, number: int) -> str:
    return WORKED[name](random.Random(f"{name}/{seed}/{number}"))


def _write_problem(name: str, seed: int, number: int) -> str:
    entry = _dataset(name, seed)[number]
    return f"Question: {' '.join(entry['question'].split())}\nAnswer: {entry['answer']}"


@cache
def _dataset(name: str, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of a package that it imports
        import reasoning_gym

    return reasoning_gym.create_dataset(name, size=_SIZE, seed=seed)
