"""Which problems to practise: those that are not solved yet (arXiv:2501.12599, section 2.3.4)."""

import math
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import Field

from k2core.engines.protocol import Forecast
from schemas.base import Config
from schemas.chat import Problem

_PRIOR = 4.0
MOST_RECENT = 256
"""Samples of a family that are remembered one by one."""
_MOST = 0.97
"""Share of a family's dialogues that are no longer than it is expected to become."""


class SeenProblem(NamedTuple):
    """A problem's samples."""

    problem: Problem
    rewards: Sequence[float]
    """1 where it passed."""
    truncated: Sequence[bool] = ()
    """Whether tokens ran out."""
    lengths: Sequence[int] = ()
    """Tokens of those that passed."""
    written: Sequence[int] = ()
    """Tokens of each."""


class RewardTally(Config):
    """Samples of one problem or family, and how many earned the full reward."""

    samples: int = 0
    successes: int = 0
    written: tuple[int, ...] = ()
    """Tokens of the last `MOST_RECENT` samples of a family."""
    truncated: tuple[bool, ...] = ()
    """Whether tokens ran out in the last `MOST_RECENT` samples of a family."""
    lengths: tuple[int, ...] = ()
    """Tokens of the last `MOST_RECENT` samples of a family that passed."""

    def add(self, new: SeenProblem) -> "RewardTally":
        """With more samples."""
        return RewardTally(
            samples=self.samples + len(new.rewards),
            successes=self.successes + sum(reward >= 1.0 for reward in new.rewards),
            written=(*self.written, *new.written)[-MOST_RECENT:],
            truncated=(*self.truncated, *new.truncated)[-MOST_RECENT:],
            lengths=(*self.lengths, *new.lengths)[-MOST_RECENT:],
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
                new._replace(written=(), truncated=(), lengths=())
            )
            families[family] = families.get(family, RewardTally()).add(new)
        return self.model_copy(update={"problems": problems, "families": families})

    @property
    def lengths(self) -> dict[str, Forecast]:
        """Family -> tokens of a dialogue: the mean of its last, and what 97 % kept within."""
        known = {name: sorted(tally.written) for name, tally in self.families.items()}
        return {
            name: Forecast(-(-sum(of) // len(of)), of[math.ceil(_MOST * len(of)) - 1])
            for name, of in known.items()
            if of
        }

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
