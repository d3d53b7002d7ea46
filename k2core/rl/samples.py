"""On-policy samples: dialogues with their exact tokens, rewards and advantages."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from k2core.agents import Dialogue
from k2core.rewards import MALFORMED, OVER_BUDGET, Verdict
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


Play = Callable[[Sequence[Problem], Sequence[int], float], list[Sample]]
"""Dialogues with the problems' environments, one a problem and seed, at a temperature."""
Judge = Callable[[Sequence[Sample]], list[Verdict]]


class Scored(NamedTuple):
    """The groups that were judged, and what became of the others."""

    samples: list[Sample]
    """Whole groups, a problem's samples together."""
    dropped: Counter[str]
    """Reason -> groups that were left out, because an environment, a judge or the engine failed."""


def score(
    samples: Sequence[Sample],
    verdicts: Sequence[Verdict],
    num_samples: int,
    penalties: Mapping[str, float],
    advantages: Callable[[Sequence[float]], list[float]],
) -> Scored:
    """Rewards, and advantages among each problem's `num_samples` neighbours.

    A group with a faulty sample is left out whole: the mean of the rest would be of other samples
    than K.

    Args:
        samples: a problem's samples stand together.
        verdicts: one a sample.
        num_samples: K.
        penalties: reason -> reward in place of the verdict's (`penalties_of`).
        advantages: of a group's rewards.
    """
    scored, dropped = list[Sample](), Counter[str]()
    for start in range(0, len(samples), num_samples):
        group, judged = samples[start : start + num_samples], verdicts[start : start + num_samples]
        faults = [f for s, v in zip(group, judged, strict=True) if (f := _fault(s, v))]
        if faults:
            dropped[faults[0]] += 1
            continue
        rewards = [penalties.get(v.reason, v.reward) for v in judged]
        scored += [
            s._replace(reward=r, advantage=a, passed=v.reward >= 1.0, reason=v.reason)
            for s, r, a, v in zip(group, rewards, advantages(rewards), judged, strict=True)
        ]
    return Scored(scored, dropped)


def penalties_of(over_budget: float, malformed: float) -> dict[str, float]:
    """Rewards by reason (K2 section 3.2.3 has the first)."""
    return {OVER_BUDGET: over_budget, MALFORMED: malformed}


def learnable(samples: Sequence[Sample], num_samples: int) -> list[Sample]:
    """Samples of problems whose rewards differ: all others have advantage 0."""
    return [
        s
        for group in groups_of(samples, num_samples)
        if any(not math.isclose(s.reward, group[0].reward, abs_tol=1e-12) for s in group)
        for s in group
    ]


def groups_of(samples: Sequence[Sample], num_samples: int) -> list[Sequence[Sample]]:
    """A problem's samples together."""
    return [samples[start : start + num_samples] for start in range(0, len(samples), num_samples)]


def split_updates(samples: Sequence[Sample], num_samples: int, updates: int) -> list[list[Sample]]:
    """Deal whole problems to the updates in turn; an update without samples is left out."""
    groups = groups_of(samples, num_samples)
    dealt = [groups[update::updates] for update in range(updates)]
    return [[s for group in part for s in group] for part in dealt if part]


def _fault(sample: Sample, verdict: Verdict) -> str:
    """Why a sample says nothing about the policy; empty for one that does."""
    if verdict.is_faulty:
        return verdict.reason or "faulty"
    if not all(math.isfinite(p) for p in sample.dialogue.logprobs):
        return "the engine gave a log p that is not finite"
    return ""
