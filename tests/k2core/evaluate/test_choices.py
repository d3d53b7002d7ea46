"""Log-likelihood tasks: an engine that knows is always right, one that guesses a quarter."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from k2core.engines.scripted import ScriptedEngine
from k2core.evaluate.choices import SUMS, Choice, draw_choices, measure_choices
from k2core.evaluate.perplexity import HeldOutText
from k2core.problems import FAMILIES, split_of
from schemas.problems import ProblemsConfig

CONFIG = ProblemsConfig()


class Letters:
    def encode(self, text: str) -> list[int]:
        return list(text.encode())


class Knowing(ScriptedEngine):
    """Finds likely what follows by one, and, of sums, the right result."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        return [[-float(b != a + 1) for a, b in pairwise(s)] for s in sequences]


class Guessing(ScriptedEngine):
    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        rng = random.Random(0)
        return [[rng.random() for _ in s[1:]] for s in sequences]


@pytest.fixture(scope="module")
def choices() -> list[Choice]:
    windows = [list(range(1000 * n, 1000 * n + 240)) for n in range(100)]
    return draw_choices({"web": HeldOutText(windows, 1)}, Letters(), CONFIG, 200)


def test_the_true_continuation_is_found_by_who_knows_it(choices: list[Choice]) -> None:
    texts = [choice for choice in choices if choice.task != SUMS]
    assert len(texts) == 200
    assert all(len({len(o) for o in c.options}) == 1 and len(c.options) == 4 for c in choices[:200])
    knows = measure_choices(Knowing(lambda *_: []), texts)
    assert (knows["continue web"].passed, knows["continue web"].total) == (200, 200)
    guesses = measure_choices(Guessing(lambda *_: []), texts)["continue web"]
    assert guesses.low < 0.25 < guesses.high


def test_sums_are_held_out_and_their_shots_are_not(choices: list[Choice]) -> None:
    family = FAMILIES["sum_with_tool"]
    sums = [choice for choice in choices if choice.task == SUMS]
    assert len(sums) == 200
    for choice in sums:
        *shots, asked = bytes(choice.prompt).decode().splitlines()
        a, b = map(int, asked.removesuffix(" =").split(" + "))
        assert split_of(CONFIG, family, {"a": a, "b": b}) == "held_out"
        assert bytes(choice.options[0]).decode() == f" {a + b}\n"
        assert len({bytes(option) for option in choice.options}) == 4
        for shot in shots:
            x, y = map(int, shot.partition(" = ")[0].split(" + "))
            assert split_of(CONFIG, family, {"a": x, "b": y}) == "train"


def test_too_little_text_gives_no_task() -> None:
    assert draw_choices({"web": HeldOutText([list(range(70))], 1)}, Letters(), CONFIG, 0) == []
