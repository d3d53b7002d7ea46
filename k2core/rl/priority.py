"""Which problems to practise: those that are not solved yet (arXiv:2501.12599, section 2.3.4)."""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import Field

from schemas.base import Config
from schemas.chat import Problem

_PRIOR = 4.0
_MOST_RECENT = 256


class SeenProblem(NamedTuple):
    """A problem's samples."""

    problem: Problem
    rewards: Sequence[float]
    """1 where it passed."""
    truncated: Sequence[bool] = ()
    """Whether tokens ran out."""
    lengths: Sequence[int] = ()
    """Tokens of those that passed."""
    tokens: int = 0
    """Of all."""


class RewardTally(Config):
    """Samples of one problem or family, and how many earned the full reward."""

    samples: int = 0
    successes: int = 0
    tokens: int = 0
    """Of all samples."""
    truncated: tuple[bool, ...] = ()
    """Whether tokens ran out in the last `_MOST_RECENT` samples of a family."""
    lengths: tuple[int, ...] = ()
    """Tokens of the last `_MOST_RECENT` samples of a family that passed."""

    def add(self, new: SeenProblem) -> "RewardTally":
        """With more samples."""
        return RewardTally(
            samples=self.samples + len(new.rewards),
            successes=self.successes + sum(reward >= 1.0 for reward in new.rewards),
            tokens=self.tokens + new.tokens,
            truncated=(*self.truncated, *new.truncated)[-_MOST_RECENT:],
            lengths=(*self.lengths, *new.lengths)[-_MOST_RECENT:],
        )


class Successes(Config):
    """All that sampling has seen so far."""

    problems: dict[str, RewardTally] = Field(default_factory=dict)
    families: dict[str, RewardTally] = Field(default_factory=dict)

    def add(self, groups: Iterable[SeenProblem]) -> "Successes":
        """With some problems' samples; one copy, however many they are."""
        problems, families = dict(self.problems), dict(self.families)
        for new in groups:
            name, family = new.problem.problem_id, new.problem.family
            problems[name] = problems.get(name, RewardTally()).add(
                new._replace(truncated=(), lengths=())
            )
            families[family] = families.get(family, RewardTally()).add(new)
        return self.model_copy(update={"problems": problems, "families": families})

    @property
    def lengths(self) -> dict[str, int]:
        """Family -> mean tokens of a dialogue, rounded up."""
        known = {name: tally for name, tally in self.families.items() if tally.samples}
        return {name: -(-tally.tokens // tally.samples) for name, tally in known.items()}

    def rate(self, problem: Problem) -> float:
        """Success rate; a problem seen little leans on its family's."""
        family = self.families.get(problem.family, RewardTally())
        expected = (family.successes + 0.5 * _PRIOR) / (family.samples + _PRIOR)
        own = self.problems.get(problem.problem_id, RewardTally())
        return (own.successes + _PRIOR * expected) / (own.samples + _PRIOR)


def choose_problems(
    problems: Sequence[Problem],
    seen: Successes,
    count: int,
    floor: float,
    min_success_rate: float,
    rng: random.Random,
) -> list[Problem]:
    """Draw `count` different problems with weight max(floor, 1 - success rate).

    Problems whose success rate is below `min_success_rate` get the floor: all samples of one that
    is too hard fail alike and teach nothing (K2 keeps moderate difficulty, by pass@k).
    """
    if count > len(problems):
        raise ValueError(
            f"rl.problems_per_iteration={count} exceeds the training split's {len(problems)} "
            "problems: lower it, or make more problems"
        )
    # Weighted sampling without replacement: the largest u^(1/w) (Efraimidis and Spirakis, 2006).
    keys = {
        index: rng.random() ** (1.0 / _weight(seen.rate(problem), floor, min_success_rate))
        for index, problem in enumerate(problems)
    }
    chosen = sorted(keys, key=lambda index: (-keys[index], index))[:count]
    return [problems[index] for index in chosen]


def _weight(rate: float, floor: float, min_success_rate: float) -> float:
    return floor if rate < min_success_rate else max(floor, 1.0 - rate)
