"""On-policy samples: dialogues with their exact tokens, rewards and advantages."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from k2core.agents import Dialogue
from k2core.rewards import OVER_BUDGET, Verdict
from schemas.chat import Problem


class Sample(NamedTuple):
    """One dialogue of the policy, and what it earned."""

    dialogue: Dialogue
    reward: float = 0.0
    advantage: float = 0.0
    passed: bool = False
    reason: str = ""

    @property
    def problem(self) -> Problem:
        """What was asked."""
        return self.dialogue.problem


def score(
    samples: Sequence[Sample], verdicts: Sequence[Verdict], num_samples: int, over_budget: float
) -> list[Sample]:
    """Rewards, and advantages against the mean of each problem's `num_samples` neighbours.

    Args:
        samples: a problem's samples stand together.
        verdicts: one a sample.
        num_samples: K.
        over_budget: reward of a dialogue that its budget cut off (K2 section 3.2.3).
    """
    rewards = [over_budget if v.reason == OVER_BUDGET else v.reward for v in verdicts]
    pairs = list(zip(samples, rewards, verdicts, strict=True))
    scored = []
    for start in range(0, len(pairs), num_samples):
        group = pairs[start : start + num_samples]
        mean = statistics.fmean(reward for _, reward, _ in group)
        scored += [
            s._replace(reward=r, advantage=r - mean, passed=v.reward >= 1.0, reason=v.reason)
            for s, r, v in group
        ]
    return scored


def informative(samples: Sequence[Sample], num_samples: int) -> list[Sample]:
    """Samples of problems whose rewards differ: all others have advantage 0 and no gradient."""
    starts = range(0, len(samples), num_samples)
    groups = [samples[start : start + num_samples] for start in starts]
    return [s for group in groups if any(s.advantage for s in group) for s in group]


def split_updates(samples: Sequence[Sample], num_samples: int, updates: int) -> list[list[Sample]]:
    """Deal whole problems to the updates in turn; an update without samples is left out."""
    starts = range(0, len(samples), num_samples)
    groups = [samples[start : start + num_samples] for start in starts]
    dealt = [groups[update::updates] for update in range(updates)]
    return [[s for group in part for s in group] for part in dealt if part]
