"""Training and held-out problems, disjoint by the hash of what they are about."""

import hashlib
import random
from collections.abc import Iterator
from itertools import count

from k2core.problems.family import Content, Family, Posed
from k2core.problems.registry import FAMILIES
from schemas.chat import Problem
from schemas.problems import ProblemsConfig

_ATTEMPTS = 200


class TooFewContentsError(ValueError):
    """A family has fewer different contents in a split than are asked for."""


def is_held_out(config: ProblemsConfig, family: Family, content: Content) -> bool:
    """Whether training never meets this content."""
    digest = hashlib.sha256(f"{config.seed} {family.key(content)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < config.held_out_frac * 2**64


def training_problem(config: ProblemsConfig, index: int) -> Problem:
    """The index-th training problem; families come in proportion to their weights."""
    return pose_training(config, index).problem


def training_problems(config: ProblemsConfig, start: int = 0) -> Iterator[Problem]:
    """Training problems without end, from the start-th on."""
    return (training_problem(config, index) for index in count(start))


def pose_training(config: ProblemsConfig, index: int) -> Posed:
    """The index-th training problem with its content, for an expert."""
    rng = random.Random(f"{config.seed}/train/{index}")
    name = rng.choices(list(config.families), list(config.families.values()))[0]
    family = FAMILIES[name]
    for _ in range(_ATTEMPTS):
        content = family.draw(rng)
        if not is_held_out(config, family, content):
            problem_id = f"{name}/train/{config.seed}-{index}"
            return family.pose(content, rng, problem_id, config.two_turn_frac)
    raise TooFewContentsError(f"{name}: no training content in {_ATTEMPTS} draws")


def held_out_problems(config: ProblemsConfig) -> list[Problem]:
    """`held_out_per_family` problems of each family in use, in the order of the config.

    Raises:
        TooFewContentsError: a family has not that many different held-out contents.
    """
    return [
        problem
        for name, weight in config.families.items()
        if weight > 0
        for problem in _hold_out(config, FAMILIES[name])
    ]


def _hold_out(config: ProblemsConfig, family: Family) -> Iterator[Problem]:
    rng = random.Random(f"{config.seed}/held_out/{family.name}")
    seen: set[str] = set()
    wanted = config.held_out_per_family
    for _ in range(_ATTEMPTS * wanted):
        if len(seen) == wanted:
            return
        content = family.draw(rng)
        key = family.key(content)
        if key in seen or not is_held_out(config, family, content):
            continue
        problem_id = f"{family.name}/held_out/{config.seed}-{len(seen)}"
        seen.add(key)
        yield family.pose(content, rng, problem_id, config.two_turn_frac).problem
    if len(seen) < wanted:
        raise TooFewContentsError(
            f"{family.name} has only {len(seen)} different held-out contents of "
            f"{wanted} wanted: lower held_out_per_family or raise held_out_frac"
        )
