"""The glance at many lines against fastText on each."""

import random

import numpy as np
import pytest

from k2core.clean import language
from k2core.clean.glance import load_model, measure_languages
from tests.k2core.clean.declaration import ARTICLE_1

ODD = (
    "a", "ab", "é", "👍🏽 ok 👍", "x " * 999 + "y", "don’t </s>quite", "-- ** !!",
    "日本 go 𠮷野家 ｱ", "1, 2, 3", "\u0301 \u0301", "a\u200db", "http://a.org/x?y=z#" + "q" * 500,
)  # fmt: skip


def draw_lines(num: int) -> list[str]:
    """Words of many languages in all proportions."""
    rng = random.Random(0)
    names = sorted(ARTICLE_1)
    lines = []
    for _ in range(num):
        parts = [ARTICLE_1[name].split() for name in rng.sample(names, rng.randint(1, 3))]
        words = [word for part in parts for word in part[: rng.randint(1, 9)]]
        lines.append(" ".join(words) + rng.choice(["", " print(x)", " and the rest of it", " 12"]))
    return lines


def test_probabilities_are_those_of_fasttext() -> None:
    lines = [*ARTICLE_1.values(), *ODD, *draw_lines(400)]
    lines = [language._as_line(line) for line in lines]
    found, names = np.concatenate(list(measure_languages(lines))), load_model().languages
    for line, row in zip(lines, found, strict=True):
        told = {each["lang"]: each["score"] for each in language._detector().detect(line, k=176)}
        shown = [min(1.0, row[names.index(name)]) for name in told]
        assert shown == pytest.approx(list(told.values()), abs=1e-5), line


def test_lines_do_not_depend_on_those_beside_them() -> None:
    lines = draw_lines(3000)
    batches = list(measure_languages(lines))
    assert len(batches) > 1
    (few,) = measure_languages(lines[1000:1010])
    assert np.allclose(np.concatenate(batches)[1000:1010], few, atol=1e-6)
    assert not list(measure_languages([]))


@pytest.mark.parametrize("languages", [["en"], ["de", "ja"], ["nowhere"]])
def test_a_paragraph_is_as_foreign_at_a_glance(languages: list[str]) -> None:
    several = [*draw_lines(2000), "", "  ", "\0", "Guten </s> Tag", "__label__de heute", *ODD]
    chosen = set(language._choose_foreign(several, languages))
    assert chosen == {line for line in several if language._is_foreign(line, languages)}
    assert 100 < len(chosen) < len(several)
