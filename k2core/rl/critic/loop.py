"""The closed loop: on-policy pairs whose verifier says who is right refresh and measure the critic.

What is measured is what is then learned from, before it is: the iteration's samples are new to the
critic, whose agreement with the verifiers stands beside that of the critic the stage began with.
"""

import random
import statistics
from collections.abc import Callable, Sequence

from k2core.chat import EncodedDialogue
from k2core.critic import LETTERS, PreferencePair, Template, answer_of, pair_up
from k2core.rewards import MALFORMED, OVER_BUDGET
from k2core.rl.batches import TrainingRow, text_rows
from k2core.rl.critic.judge import Prefer
from k2core.rl.critic.ranking import ComparisonEnding, decide
from k2core.rl.critic.rewards import CriticJudge
from k2core.rl.samples import Sample, groups_of
from schemas.rubrics import RUBRIC, CriticConfig

_UNFINISHED = frozenset({MALFORMED, OVER_BUDGET})
"""No answers: a rule, not a critic, decides them in a ranking, too."""
_ORDERS = (True, False)


class CriticLoop:
    """What an iteration does for the critic, after its samples are judged and before its update.

    Args:
        config: of the critic.
        template: what it is shown.
        prefer: the critic as it is now.
        freeze: the engines serve the stage's first weights from here on, until they are sent
            others.
        judge: of rewards, whose counts are reported.
        seed: chooses pairs.
    """

    def __init__(
        self,
        config: CriticConfig,
        template: Template,
        prefer: Prefer,
        freeze: Callable[[], object],
        judge: CriticJudge,
        seed: int,
    ) -> None:
        self._config, self._template, self._seed = config, template, seed
        self._prefer, self._freeze, self._judge = prefer, freeze, judge
        self._examples = list[EncodedDialogue]()

    def observe(self, samples: Sequence[Sample], iteration: int) -> dict[str, float]:
        """Measure the critic on an iteration's verifiable pairs, and keep them for its update.

        The engines may serve other weights afterwards: no more samples are drawn until they are
        sent the trainer's.
        """
        config, rng = self._config, random.Random(f"{self._seed}/critic/{iteration}")
        pairs = pairs_of_samples(samples, config.refresh_pairs, rng)
        self._examples = [
            self._template.encode_example(pair.shown(right_first=first), LETTERS[not first])
            for pair in pairs
            for first in _ORDERS
        ]
        figures = {**self._judge.take_counts(), "pairs": float(len(pairs))}
        if not pairs:
            return figures
        figures |= measure_agreement(self._prefer, pairs, config.margin)
        if config.frozen_every and iteration % config.frozen_every == 0:
            self._freeze()
            frozen = measure_agreement(self._prefer, pairs, config.margin)
            figures |= {f"frozen_{name}": value for name, value in frozen.items()}
        return figures

    def rows(self) -> list[TrainingRow]:
        """The iteration's judgements, both orders of each pair."""
        if not (self._examples and self._config.refresh_weight):
            return []
        return text_rows(self._examples, self._config.refresh_weight)


def measure_agreement(
    prefer: Prefer, pairs: Sequence[PreferencePair], margin: float
) -> dict[str, float]:
    """How often the critic prefers what the verifier does, 1/2 where it cannot decide."""
    shown = [pair.shown(right_first=first) for pair in pairs for first in _ORDERS]
    said = prefer(shown)
    decisions = [
        decide(first, None if second is None else 1.0 - second, margin)
        for first, second in zip(said[::2], said[1::2], strict=True)
    ]
    disagreeing = sum(decision.kind is ComparisonEnding.DISAGREEMENT for decision in decisions)
    return {
        "agreement": statistics.fmean(decision.credit for decision in decisions),
        "order_bias": disagreeing / len(decisions),
    }


def pairs_of_samples(
    samples: Sequence[Sample], most: int, rng: random.Random
) -> list[PreferencePair]:
    """Finished answers of the same problem, one of them verified and one refused."""
    groups = [group for group in groups_of(samples) if group[0].problem.verifier != RUBRIC]
    each = max(1, -(-2 * most // max(1, len(groups))))
    pairs = list[PreferencePair]()
    for group in groups:
        answers: dict[bool, list[str]] = {True: [], False: []}
        for sample in group:
            if sample.reason not in _UNFINISHED:
                text = answer_of(sample.problem, sample.dialogue.messages)
                answers[sample.passed].append(text)
        pairs += pair_up(group[0].problem, answers[True], answers[False], each, rng)
    return pairs if len(pairs) <= most else rng.sample(pairs, most)
