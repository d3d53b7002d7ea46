"""The engine as a critic: a letter's log p becomes a preference, and anything else nothing."""

import math
from collections.abc import Sequence

import pytest

from k2core.chat import ChatCodec
from k2core.critic import GRAMMAR, OrderedPair, Template
from k2core.engines.protocol import Completion, Decoding
from k2core.engines.scripted import ScriptedEngine
from k2core.rl.critic import EngineCritic
from schemas.chat import Message, Problem
from schemas.rubrics import CriticTemplate

PROBLEM = Problem(
    problem_id="p",
    family="f",
    group="math",
    messages=(Message(role="user", content="2 + 2?"),),
    verifier="text_answer",
)
PAIR = OrderedPair(PROBLEM, "4", "5")


class Saying(ScriptedEngine):
    """Says a text with a log p, once for each prompt."""

    def __init__(self, codec: ChatCodec, text: str, logprob: float) -> None:
        super().__init__(lambda *_: codec.encode(text))
        self._logprob = logprob
        self.how: list[Decoding] = []

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> list[Completion]:
        self.how += sampling
        found = super().generate(prompts, sampling)
        return [c._replace(logprobs=[self._logprob] * len(c.token_ids)) for c in found]


@pytest.mark.parametrize(
    ("text", "logprob", "expected"),
    [
        ("A", math.log(0.75), 0.75),
        ("B", math.log(0.75), 0.25),
        ("A", 0.0, 1.0),
        ("A", 1e-7, 1.0),
        ("A", math.nan, None),
        ("B", -math.inf, None),
        ("C", -0.1, None),
        ("", -0.1, None),
        ("a", -0.1, None),
    ],
)
def test_a_letters_probability(
    codec: ChatCodec, text: str, logprob: float, expected: float | None
) -> None:
    engine = Saying(codec, text, logprob)
    critic = EngineCritic(engine, Template(CriticTemplate(show="none"), codec), 1000)
    (found,) = critic([PAIR])
    assert found == (None if expected is None else pytest.approx(expected))
    assert engine.how == [Decoding(max_tokens=1, temperature=0.0, grammar=GRAMMAR)]


def test_what_does_not_fit_is_not_asked(codec: ChatCodec) -> None:
    template = Template(CriticTemplate(show="none"), codec)
    engine = Saying(codec, "A", -0.1)
    long = PAIR._replace(first="4" * 300)
    context = len(template.encode_prompt(PAIR)) + 1
    found = EngineCritic(engine, template, context)([long, PAIR, long.swapped])
    assert [p is None for p in found] == [True, False, True]
    assert len(engine.prompts) == 1
    assert EngineCritic(engine, template, 5)([PAIR]) == [None]
    assert len(engine.prompts) == 1


def test_letters_are_single_tokens(codec: ChatCodec) -> None:
    assert [len(codec.encode(letter)) for letter in "AB"] == [1, 1]
