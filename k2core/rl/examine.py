"""Validation while reinforcement learning runs: same problems, same seeds, same temperature.

The reward of the samples that are trained on is no curve of learning: their temperature falls and
their problems are chosen by success. This is one, and by it the best weights are kept.
"""

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from k2core.rl.samples import Judge, Play
from schemas.base import Config
from schemas.chat import Problem

if TYPE_CHECKING:
    from k2core.rl.history import Iteration


class ValidationRates(Config):
    """Pass rates on the validation problems."""

    rate: float
    """Of all."""
    families: dict[str, float]
    num_problems: int
    """That were judged; faulty dialogues are left out."""

    @property
    def standard_error(self) -> float:
        """Of `rate`."""
        return math.sqrt(
            max(self.rate * (1 - self.rate), 0.25 / self.num_problems) / self.num_problems
        )

    def is_as_good_as(self, others: "Sequence[ValidationRates]") -> bool:
        """Whether none of the others is better by more than its standard error."""
        return all(self.rate >= other.rate - other.standard_error for other in others)


def examine(
    problems: Sequence[Problem], play: Play, judge: Judge, temperature: float, seed: int
) -> ValidationRates | None:
    """Ask every problem once; None where nothing could be judged.

    Args:
        problems: of the validation split.
        play: dialogues with the weights that are served now.
        judge: their verdicts.
        temperature: the same at each examination.
        seed: the same, too: two examinations differ by the weights alone.
    """
    seeds = [(seed * 1_000_003 + index) % 2**31 for index in range(len(problems))]
    samples = play(problems, seeds, temperature)
    by_family: dict[str, list[bool]] = {}
    for sample, verdict in zip(samples, judge(samples), strict=True):
        if not verdict.is_faulty:
            by_family.setdefault(sample.problem.family, []).append(verdict.reward >= 1.0)
    passed = [p for family in by_family.values() for p in family]
    if not passed:
        return None
    return ValidationRates(
        rate=statistics.fmean(passed),
        families={family: statistics.fmean(found) for family, found in sorted(by_family.items())},
        num_problems=len(passed),
    )


def is_alarming(iterations: "Sequence[Iteration]") -> bool:
    """Whether validation fell by two standard errors since its best, while the reward rose."""
    examined = [i for i in iterations if i.validation]
    if len(examined) < 2:
        return False
    best = max(examined[:-1], key=lambda i: i.validation.rate if i.validation else 0.0)
    last = examined[-1]
    if best.validation is None or last.validation is None:
        return False
    error = math.hypot(best.validation.standard_error, last.validation.standard_error)
    return last.reward > best.reward and best.validation.rate - last.validation.rate > 2 * error
