"""One group's answers, ranked among themselves, with decoys between them."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from k2core.critic import OrderedPair, Rubric, answer_of, find_breach, told
from k2core.rewards import Verdict
from k2core.rl.critic.decoys import Decoy, plant
from k2core.rl.critic.ranking import Bout, ComparisonEnding, Earning, decide, draw_bouts, win_rates
from k2core.rl.samples import Sample
from schemas.rubrics import CriticConfig

GUARDED = "the critic preferred a decoy of "
"""Reason of a group that is left out because its critic was taken in."""
OVER_LONG = "over_long"
_ALWAYS_SHORT = 50
"""Words that are never too many."""


class Contest(NamedTuple):
    """What is to be compared in a group, and what a rule has decided already."""

    verdicts: list[Verdict]
    """Of all its samples, as far as rules decide."""
    sound: list[int]
    """Places of those that break no rule, and are ranked."""
    comparisons: list[OrderedPair]
    """Of `bouts`, then of each decoy with each sound answer."""
    bouts: list[Bout]
    decoys: list[Decoy]

    @property
    def asked(self) -> list[OrderedPair]:
        """Both orders of each comparison whose answers differ."""
        unequal = [c for c in self.comparisons if c.first != c.second]
        return [shown for c in unequal for shown in (c, c.swapped)]

    def decide(
        self, said: Sequence[float | None], margin: float, counts: Counter[str]
    ) -> list[Verdict]:
        """The group's verdicts.

        Args:
            said: P(the first is better) of `asked`.
            margin: least distance from one half.
            counts: of what happened, added to.
        """
        decisions, left = list[Earning](), iter(said)
        for comparison in self.comparisons:
            if comparison.first == comparison.second:
                decisions.append(Earning(0.5, ComparisonEnding.TIE))
                continue
            first, swapped = next(left), next(left)
            against = None if swapped is None else 1.0 - swapped
            decisions.append(decide(first, against, margin))
        counts.update(decision.kind.value for decision in decisions)
        ranked, guards = decisions[: len(self.bouts)], decisions[len(self.bouts) :]
        if taken_in := self._find_winner(guards):
            counts["guarded"] += 1
            return [Verdict(math.nan, f"{GUARDED}{taken_in}")] * len(self.verdicts)
        rates = win_rates(len(self.sound), self.bouts, ranked)
        return self._with_rates(rates)

    def _find_winner(self, guards: Sequence[Earning]) -> str:
        """The kind of a decoy that wins more than half of its comparisons; empty for none."""
        width = len(self.sound)
        for number, decoy in enumerate(self.decoys):
            met = guards[number * width : (number + 1) * width]
            if statistics.fmean(decision.credit for decision in met) > 0.5:
                return decoy.kind
        return ""

    def _with_rates(self, rates: Sequence[float]) -> list[Verdict]:
        """Each sound answer has won against all that broke a rule."""
        others, broken = len(self.sound) - 1, len(self.verdicts) - len(self.sound)
        verdicts = list(self.verdicts)
        for place, rate in zip(self.sound, rates, strict=True):
            share = (rate * others + broken) / (others + broken)
            verdicts[place] = Verdict(share, "" if share >= 1.0 else f"win rate {share:.3f}")
        return verdicts


def open_contest(
    samples: Sequence[Sample],
    verdicts: Sequence[Verdict],
    rubric: Rubric,
    config: CriticConfig,
    seed: int,
) -> Contest:
    """Hold a group against the rules, and draw what is to be compared.

    Args:
        samples: of one problem.
        verdicts: by the verifier `rubric`.
        rubric: criteria of one's own included.
        config: how many comparisons and decoys.
        seed: with problem and weights, of all that is drawn.
    """
    problem = samples[0].problem
    answers = [answer_of(problem, sample.dialogue.messages) for sample in samples]
    rules, request = [r.check for r in rubric.rules_of(problem)], told(problem.messages)
    found = list(verdicts)
    for place, answer in enumerate(answers):
        if found[place].reward >= 1.0 and (breach := find_breach(rules, request, answer)):
            found[place] = Verdict(0.0, breach)
    _refuse_over_long(answers, found, config.max_length_ratio)
    sound = [place for place, verdict in enumerate(found) if verdict.reward >= 1.0]
    if len(sound) < 2:
        return Contest(found, sound, [], [], [])
    rng = random.Random(f"{seed}/{problem.problem_id}/{samples[0].dialogue.weights}")
    bouts = draw_bouts(len(sound), config.max_comparisons, rng)
    kept = [answers[place] for place in sound]
    decoys = plant(config.decoys, kept, rng)
    comparisons = [OrderedPair(problem, kept[bout.one], kept[bout.other]) for bout in bouts]
    comparisons += [OrderedPair(problem, decoy.text, answer) for decoy in decoys for answer in kept]
    return Contest(found, sound, comparisons, bouts, decoys)


def _refuse_over_long(answers: Sequence[str], verdicts: list[Verdict], ratio: float) -> None:
    """An answer much longer than its group's median loses."""
    lengths = [len(answer.split()) for answer in answers]
    sound = [n for n, v in zip(lengths, verdicts, strict=True) if v.reward >= 1.0]
    if not sound:
        return
    most = max(_ALWAYS_SHORT, ratio * statistics.median_low(sound))
    for place, length in enumerate(lengths):
        if verdicts[place].reward >= 1.0 and length > most:
            verdicts[place] = Verdict(0.0, OVER_LONG)
