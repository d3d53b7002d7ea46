"""Training, validation and held-out problems, disjoint by the hash of what they are about."""

import hashlib
import random
from collections.abc import Iterator
from itertools import count
from typing import Literal

from k2core.problems.family import Content, Family, Posed
from k2core.problems.registry import FAMILIES
from schemas.chat import Problem
from schemas.problems import ProblemsConfig

_ATTEMPTS = 200
_SALT = "2026-11-28"

Split = Literal["train", "validation", "held_out"]


class TooFewContentsError(ValueError):
    """A family has fewer different contents in a split than are asked for."""


def split_of(config: ProblemsConfig, family: Family, content: Content) -> Split:
    """Where a content belongs, in whatever words and by whichever family of its topic it is asked.

    The salt is a date: renewed when settings have been chosen on what was held out.
    """
    digest = hashlib.sha256(f"{config.seed} {_SALT} {family.key(content)}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < config.held_out_frac:
        return "held_out"
    return "validation" if place < config.held_out_frac + config.validation_frac else "train"


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
        if split_of(config, family, content) == "train":
            problem_id = f"{name}/train/{config.seed}-{index}"
            return family.pose(content, rng, problem_id, config.two_turn_frac)
    raise TooFewContentsError(f"{name}: no training content in {_ATTEMPTS} draws")


def held_out_problems(config: ProblemsConfig) -> list[Problem]:
    """`held_out_per_family` problems of each family in use, in the order of the config.

    Raises:
        TooFewContentsError: a family has not that many different held-out contents.
    """
    return _set_apart(config, "held_out", config.held_out_per_family)


def validation_problems(config: ProblemsConfig, per_family: int) -> list[Problem]:
    """As many problems of each family in use, of contents that are for choosing.

    Raises:
        TooFewContentsError: a family has not that many different validation contents.
    """
    return _set_apart(config, "validation", per_family)


def _set_apart(config: ProblemsConfig, split: Split, per_family: int) -> list[Problem]:
    return [
        problem
        for name, weight in config.families.items()
        if weight > 0
        for problem in _pose_apart(config, FAMILIES[name], split, per_family)
    ]


def _pose_apart(
    config: ProblemsConfig, family: Family, split: Split, wanted: int
) -> Iterator[Problem]:
    rng = random.Random(f"{config.seed}/{split}/{family.name}")
    seen: set[str] = set()
    for _ in range(_ATTEMPTS * wanted):
        if len(seen) == wanted:
            return
        content = family.draw(rng)
        key = family.key(content)
        if key in seen or split_of(config, family, content) != split:
            continue
        problem_id = f"{family.name}/{split}/{config.seed}-{len(seen)}"
        seen.add(key)
        yield family.pose(content, rng, problem_id, config.two_turn_frac).problem
    if len(seen) < wanted:
        raise TooFewContentsError(
            f"{family.name} has only {len(seen)} different {split} contents of {wanted} wanted: "
            f"ask for fewer, or raise problems.{split}_frac"
        )
