"""On-policy samples: dialogues with their exact tokens, rewards and advantages."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from k2core.agents import Dialogue, Start
from k2core.rewards import MALFORMED, OVER_BUDGET, Verdict
from k2core.rl.lengths import length_rewards
from schemas.base import Config
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
PlayPart = Callable[[Sequence[Start], float, int], list[Sample | Start]]
"""The same as far as so many tokens reach; what is unfinished then is put off."""
Judge = Callable[[Sequence[Sample]], list[Verdict]]


class Known(Config):
    """What an earlier iteration's sample of a problem earned."""

    reward: float
    """Before what its length costs."""
    passed: bool
    length: int


class Scored(NamedTuple):
    """The groups that were judged, and what became of the others."""

    samples: list[Sample]
    """Whole groups, a problem's samples together."""
    dropped: Counter[str]
    """Reason -> groups that were left out, because an environment, a judge or the engine failed."""


def score(
    samples: Sequence[Sample],
    verdicts: Sequence[Verdict],
    penalties: Mapping[str, float],
    advantages: Callable[[Sequence[float]], list[float]],
    length_weight: float = 0.0,
    known: "Mapping[str, Sequence[Known]] | None" = None,
) -> Scored:
    """Rewards, and advantages among each problem's samples.

    A group with a faulty sample is left out whole: the mean of the rest would be of other samples
    than K.

    Args:
        samples: a problem's samples stand together.
        verdicts: one a sample.
        penalties: reason -> reward in place of the verdict's (`penalties_of`).
        advantages: of a group's rewards.
        length_weight: of what shorter answers earn more (`k2core.rl.budget`).
        known: by problem, what those earned that ended in earlier iterations: they are part of the
            baseline.
    """
    scored, dropped, judged = list[Sample](), Counter[str](), iter(verdicts)
    for group in groups_of(samples):
        found = [next(judged) for _ in group]
        if faults := [f for s, v in zip(group, found, strict=True) if (f := _fault(s, v))]:
            dropped[faults[0]] += 1
            continue
        earlier = (known or {}).get(group[0].problem.problem_id, ())
        earned = [*earlier, *(as_known(s, v, penalties) for s, v in zip(group, found, strict=True))]
        rewards = [one.reward for one in earned]
        if length_weight:
            passed = [one.passed for one in earned]
            extra = length_rewards([one.length for one in earned], passed, length_weight)
            rewards = [reward + more for reward, more in zip(rewards, extra, strict=True)]
        better = advantages(rewards) if len(rewards) > 1 else [0.0]
        rows = zip(group, rewards[len(earlier) :], better[len(earlier) :], found, strict=True)
        scored += [
            s._replace(reward=r, advantage=a, passed=v.reward >= 1.0, reason=v.reason)
            for s, r, a, v in rows
        ]
    return Scored(scored, dropped)


def as_known(sample: Sample, verdict: Verdict, penalties: Mapping[str, float]) -> Known:
    """What it earned, for those of the same problem that end later."""
    return Known(
        reward=penalties.get(verdict.reason, verdict.reward),
        passed=verdict.reward >= 1.0,
        length=sample.dialogue.num_tokens,
    )


def penalties_of(over_budget: float, malformed: float) -> dict[str, float]:
    """Rewards by reason (K2 section 3.2.3 has the first)."""
    return {OVER_BUDGET: over_budget, MALFORMED: malformed}


def learnable(samples: Sequence[Sample]) -> list[Sample]:
    """Samples of problems whose rewards differ: all others have advantage 0."""
    return [
        s
        for group in groups_of(samples)
        if any(not math.isclose(s.advantage, 0.0, abs_tol=1e-9) for s in group)
        for s in group
    ]


def groups_of(samples: Sequence[Sample]) -> list[list[Sample]]:
    """A problem's samples together, as they stand."""
    return [list(group) for _, group in groupby(samples, lambda s: s.problem.problem_id)]


def split_updates(samples: Sequence[Sample], updates: int) -> list[list[Sample]]:
    """Deal whole problems to the updates in turn; an update without samples is left out."""
    groups = groups_of(samples)
    dealt = [groups[update::updates] for update in range(updates)]
    return [[s for group in part for s in group] for part in dealt if part]


def _fault(sample: Sample, verdict: Verdict) -> str:
    """Why a sample says nothing about the policy; empty for one that does."""
    if verdict.is_faulty:
        return verdict.reason or "faulty"
    if not all(math.isfinite(p) for p in sample.dialogue.logprobs):
        return "the engine gave a log p that is not finite"
    return ""
