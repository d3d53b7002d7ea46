"""A model as a second judge, on the rubric; it counts only after it was held against programs.

A model of 135 M parameters answers "A" whatever it is asked. So a judge is calibrated before its
verdict counts: on dialogues whose truth the checkers know, by agreement (the lower end of its 95 %
interval) and by position bias (pairs shown in both orders).
"""

import itertools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from k2core.agents import Dialogue, Habits, play_expert
from k2core.agents.endpoint import ChatModel
from k2core.problems import FAMILIES, pose_training
from k2core.rates import rate_of
from schemas.chat import Message
from schemas.problems import ProblemsConfig
from schemas.synthesize import ModelJudgeConfig

_ASK = (
    "You grade an assistant's work. Criteria:\n{criteria}\n\nDialogue:\n{dialogue}\n\n"
    "Does the dialogue meet all criteria? Answer with one word: PASS or FAIL."
)
_COMPARE = (
    "Two assistants worked on the same request. Criteria:\n{criteria}\n\nDialogue A:\n{a}\n\n"
    "Dialogue B:\n{b}\n\nWhich meets the criteria better? Answer with one letter: A or B."
)


class Rewarded(Protocol):
    """A judgement with a reward."""

    @property
    def reward(self) -> float:
        """1 where all that was asked holds."""


class Programs(Protocol):
    """The judge by programs."""

    def judge(self, dialogue: Dialogue) -> Rewarded:
        """Judge one dialogue."""


class Calibration(NamedTuple):
    """How a judge fared against programs."""

    num_dialogues: int
    agreement: float
    """Share of dialogues on which it says what the checker says."""
    agreement_low: float
    """Lower end of the 95 % Wilson interval."""
    num_pairs: int
    position_bias: float
    """Share of pairs for which it names the same place in both orders."""
    counts: bool
    """Whether its verdicts count from now on."""


class ModelJudge:
    """Asks a model about rubrics.

    Args:
        config: the endpoint and what a calibrated judge must reach.
    """

    def __init__(self, config: ModelJudgeConfig) -> None:
        self.config = config
        self._model = ChatModel(config.endpoint)

    def passes(self, dialogue: Dialogue) -> bool | None:
        """Whether it finds all criteria met; None where it answers neither PASS nor FAIL."""
        return self._ask(_ASK.format(**_shown(dialogue)), {"PASS": True, "FAIL": False})

    def prefers_first(self, first: Dialogue, second: Dialogue) -> bool | None:
        """Whether the first of two dialogues on one problem is better; None as above."""
        text = _COMPARE.format(
            criteria=_shown(first)["criteria"],
            a=_shown(first)["dialogue"],
            b=_shown(second)["dialogue"],
        )
        return self._ask(text, {"A": True, "B": False})

    def calibrate(
        self, known: Sequence[tuple[Dialogue, bool]], pairs: Sequence[tuple[Dialogue, Dialogue]]
    ) -> Calibration:
        """Hold it against programs.

        Args:
            known: dialogues with the checker's verdict, both verdicts about as often.
            pairs: two dialogues on one problem, the better one first.

        Raises:
            EndpointError: the model does not answer, which says nothing about it.
        """
        with ThreadPoolExecutor(self.config.endpoint.max_concurrent) as threads:
            said = list(threads.map(self.passes, [dialogue for dialogue, _ in known]))
            right = sum(s is truth for s, (_, truth) in zip(said, known, strict=True))
            ahead = list(threads.map(lambda p: self.prefers_first(*p), pairs))
            behind = list(threads.map(lambda p: self.prefers_first(*reversed(p)), pairs))
        same_place = sum(a is b for a, b in zip(ahead, behind, strict=True))
        agreement = rate_of(right, len(known))
        bias = same_place / len(pairs)
        counts = (
            agreement.low >= self.config.min_agreement and bias <= self.config.max_position_bias
        )
        return Calibration(len(known), agreement.rate, agreement.low, len(pairs), bias, counts)

    def _ask(self, text: str, answers: dict[str, bool]) -> bool | None:
        turn = self._model.say([Message(role="user", content=text)], (), 8, 0)
        words = turn.message.content.strip().strip("*.").upper().split()
        return answers.get(words[0].strip("*.:")) if words else None


Known = tuple[list[tuple[Dialogue, bool]], list[tuple[Dialogue, Dialogue]]]


def known_dialogues(problems: ProblemsConfig, judge: Programs, count: int) -> Known:
    """Dialogues of training problems with their truth, half of them failures, and the pairs."""
    known: list[tuple[Dialogue, bool]] = []
    pairs: list[tuple[Dialogue, Dialogue]] = []
    for index in itertools.count():
        if len(known) >= count:
            return known, pairs
        posed = pose_training(problems, index)
        family, rng = FAMILIES[posed.problem.family], random.Random(index)
        good, bad = (
            play_expert(posed.problem, family.act(posed, shortcut=False), Habits(fails=f), rng)
            for f in (False, True)
        )
        if judge.judge(good).reward == 1.0 and judge.judge(bad).reward < 1.0:
            known += [(good, True), (bad, False)]
            pairs.append((good, bad))
    raise AssertionError  # the count has no end


def _shown(dialogue: Dialogue) -> dict[str, str]:
    said = []
    for message in dialogue.messages:
        calls = "".join(f" calls {c.name}({c.arguments})" for c in message.tool_calls)
        said.append(f"{message.role}: {message.content}{calls}")
    return {
        "criteria": "\n".join(f"- {line}" for line in dialogue.problem.rubric),
        "dialogue": "\n".join(said),
    }
