"""Log-likelihood tasks: which of four continuations a model finds likeliest. A base can be asked.

- `continue DOMAIN`: the text that really follows in held-out documents, beside three pieces of
  equal length from elsewhere in them (as HellaSwag, arXiv:1905.07830, with plain distractors).
- `sums, four shots`: a held-out sum after four solved ones, beside three near results.

All options of an item have equally many tokens or are whole answers, so that the sum of log p
decides without a correction for length. Chance is a quarter.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from k2core.engines.protocol import Engine
from k2core.evaluate.perplexity import HeldOutText
from k2core.problems import FAMILIES, split_of
from k2core.rates import clustered_rate
from schemas.evaluate import Rate
from schemas.problems import ProblemsConfig

SUMS = "sums, four shots"
_CONTEXT, _PIECE, _OPTIONS, _SHOTS = 48, 12, 4, 4


class Encoder(Protocol):
    """What is needed of `k2core.chat.ChatCodec`."""

    def encode(self, text: str) -> list[int]:
        """Text as tokens, none of them special."""


class Choice(NamedTuple):
    """One item."""

    task: str
    prompt: list[int]
    options: list[list[int]]
    """The right one first: engines see no order."""


def draw_choices(
    texts: Mapping[str, HeldOutText], codec: Encoder, problems: ProblemsConfig, count: int
) -> list[Choice]:
    """So many items of each task; fewer of a domain that has too little held-out text."""
    continued = (_continue(domain, text, count) for domain, text in texts.items())
    return [*chain.from_iterable(continued), *_sums(codec, problems, count)]


def measure_choices(engine: Engine, choices: Sequence[Choice]) -> dict[str, Rate]:
    """Task -> share of items whose right option is likeliest under the served weights."""
    asked = [choice.prompt + option for choice in choices for option in choice.options]
    scores = iter(engine.score(asked))
    right: dict[str, list[bool]] = {}
    for choice in choices:
        # A token's score stands one place before it: the first has none.
        found = [math.fsum(next(scores)[len(choice.prompt) - 1 :]) for _ in choice.options]
        right.setdefault(choice.task, []).append(found[0] > max(found[1:]))
    return {
        task: clustered_rate([str(n) for n in range(len(hits))], hits)
        for task, hits in right.items()
    }


def _continue(domain: str, text: HeldOutText, count: int) -> Iterator[Choice]:
    rng = random.Random(f"continue {domain}")
    size = _CONTEXT + _PIECE
    pieces = [
        window[start : start + size]
        for window in text.windows
        for start in range(0, len(window) - size + 1, size)
    ]
    if len(pieces) < _OPTIONS:
        return
    rng.shuffle(pieces)
    for piece in pieces[:count]:
        others = [p[_CONTEXT:] for p in rng.sample(pieces, min(len(pieces), 12)) if p is not piece]
        wrong = [other for other in others if other != piece[_CONTEXT:]][: _OPTIONS - 1]
        if len(wrong) == _OPTIONS - 1:
            yield Choice(f"continue {domain}", piece[:_CONTEXT], [piece[_CONTEXT:], *wrong])


def _sums(codec: Encoder, problems: ProblemsConfig, count: int) -> Iterator[Choice]:
    rng = random.Random(f"{problems.seed}/sums")
    for _ in range(count):
        shots = [_sum(rng, problems, "train") for _ in range(_SHOTS)]
        a, b = _sum(rng, problems, "held_out")
        prompt = "".join(f"{x} + {y} = {x + y}\n" for x, y in shots) + f"{a} + {b} ="
        near = [a + b, *rng.sample([a + b + d for d in (-10, -2, -1, 1, 2, 10)], _OPTIONS - 1)]
        yield Choice(SUMS, codec.encode(prompt), [codec.encode(f" {n}\n") for n in near])


def _sum(rng: random.Random, problems: ProblemsConfig, split: str) -> tuple[int, int]:
    family = FAMILIES["sum_with_tool"]
    while True:
        content = family.draw(rng)
        if split_of(problems, family, content) == split:
            return int(content["a"]), int(content["b"])
