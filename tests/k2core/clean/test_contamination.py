import random

import polars as pl
import pytest

from k2core.clean.contamination import FoundOverlap, HeldOutRuns, Question
from k2core.clean.phrases import PhraseFilter
from schemas.clean import Decontamination


def test_phrases_are_found_within_a_text_whatever_parts_their_words() -> None:
    phrases = PhraseFilter([["one"], ["two", "three"], ["four", "five", "six"]])
    held = {
        "so ONE it is": True, "two, three": True, "two": False, "two and three": False,
        "x four-five\n(six) y": True, "four five": False, "six": False, "": False, "...": False,
    }  # fmt: skip
    assert phrases.flag(pl.Series(list(held))).tolist() == list(held.values())
    assert PhraseFilter([]).flag(pl.Series(["a"])).tolist() == [False]
    assert PhraseFilter([[]]).flag(pl.Series(["a", ""])).tolist() == [True, True]


def test_whatever_holds_a_run_is_suspected() -> None:
    rng = random.Random(0)
    signs = ["a", "b", "c", "12", "+", "?", "é"]
    texts = [" ".join(rng.choices(signs, k=rng.randrange(30))) for _ in range(400)]
    asked = [" ".join(rng.choices(signs, k=rng.randrange(3, 9))) for _ in range(12)]
    config = Decontamination(ngram=6, min_tokens=4, max_problems=2)
    held_out = HeldOutRuns([Question(f"{n}", text) for n, text in enumerate(asked)], config)
    suspected = held_out.suspect(pl.Series(texts)).tolist()
    guilty = [held_out.check(text) is not None for text in texts]
    assert 0 < sum(guilty) <= sum(suspected) < len(texts)
    assert all(s for s, g in zip(suspected, guilty, strict=True) if g)


def questions(*texts: str) -> list[Question]:
    return [Question(f"q{number}", text) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "num"),
    [
        ("Q: what IS 12+7 ? A: 19", 1),
        ("what is 12 - 7 ?", 0),
        ("zero one two three four five six!", 1),
        ("one two three four five", 0),
        ("this is too short", 0),
    ],
)
def test_contamination_by_runs_and_by_whole_short_problems(text: str, num: int) -> None:
    config = Decontamination(ngram=6, min_tokens=4, max_problems=2)
    asked = questions("What is 12 + 7?", "one two three four five six seven", "too short")
    verdict = HeldOutRuns(asked, config).check(text)
    assert verdict == (("decontamination", "held_out_problem", num, 0) if num else None)


def test_overlaps_name_the_problems_and_what_is_held_of_them() -> None:
    config = Decontamination(ngram=4, min_tokens=3, max_problems=2)
    same = [Question("b", "a b c d e f"), Question("a", "a b c d e f"), Question("c", "x y z")]
    held_out = HeldOutRuns([*same, Question("d", "p q r s t")], config)
    assert held_out.find_overlaps("so: X, y z? x y z! B c D e; a b c d e") == [
        FoundOverlap("c", "x y z", 1, 1.0),
        FoundOverlap("a", "b c d e", 2, 2 / 3),
        FoundOverlap("b", "b c d e", 2, 2 / 3),
    ]
    assert held_out.find_overlaps("nothing of it") == []


def test_runs_of_a_template_are_no_evidence() -> None:
    config = Decontamination(ngram=6, max_problems=2)
    template = "please add up all of these numbers now {0}{0} {1}{1}"
    held_out = HeldOutRuns(questions(*(template.format(n, n + 7) for n in range(9))), config)
    assert held_out.check("please add up all of these numbers now 999 998") is None
    assert held_out.check("so: please add up all of these numbers now 33 1010") is not None
