"""Checks of form in the manner of IFEval: what has the form passes, what nearly has it does not."""

from typing import Any

import pytest

from k2core.rewards.forms import FORMS
from k2core.rewards.instructions import follows

CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"kind": "bullets", "count": 2, "relation": "exactly"},
        ["* a\n* b", "- a\n- b"],
        ["* a", "a"],
    ),
    ({"kind": "capital_words", "count": 2}, ["GO NOW please"], ["Go NOW please", "go"]),
    ({"kind": "characters", "count": 4, "relation": "at_most"}, ["abcd", "a"], ["abcde", ""]),
    ({"kind": "forbidden_words", "words": ["cat"]}, ["A category."], ["The Cat sat.", ""]),
    ({"kind": "highlights", "count": 2}, ["*a* and **b c**"], ["*a* and b", "* a\n* b", "**"]),
    ({"kind": "json_only"}, ['{"a": 1}', "```json\n[1]\n```"], ["Here: {}", "{a: 1}", ""]),
    (
        {"kind": "keyword_count", "word": "sea", "count": 2, "relation": "exactly"},
        ["The sea, the Sea."],
        ["The sea.", "sea sea sea", "sea season"],
    ),
    ({"kind": "keywords", "words": ["sun", "sea"]}, ["Sea and sun"], ["Sea", "Sea and Sunday"]),
    ({"kind": "letter_count", "letter": "q", "count": 2}, ["Quick quiz"], ["Quick", ""]),
    ({"kind": "no_commas"}, ["Yes."], ["Yes, sir", "  "]),
    ({"kind": "one_of", "options": ["yes", "no"]}, ["My answer is no."], ["yes or no", "nope"]),
    (
        {"kind": "paragraph_starts", "paragraph": 2, "word": "then"},
        ["One.\n\nThen two."],
        ["Then.", "One.\n\nThence.", "One.\nThen."],
    ),
    (
        {"kind": "paragraphs", "count": 2, "relation": "exactly"},
        ["a\n\nb", "a\n \nb\n"],
        ["a\nb", "a\n\nb\n\nc", ""],
    ),
    ({"kind": "placeholders", "count": 2}, ["[name] at [street]"], ["[name] at []", "name"]),
    ({"kind": "postscript", "marker": "P.S."}, ["Bye.\nP.S. Write."], ["Bye. PS Write", "P.S."]),
    ({"kind": "quoted"}, ['"All of it."'], ['"Some" of it', '""', "all"]),
    ({"kind": "repeats_prompt", "prompt": "Say hi."}, ["Say hi. Hi!"], ["Say hi.", "Hi!"]),
    (
        {"kind": "sections", "word": "PART", "count": 2, "relation": "exactly"},
        ["PART 1\na\nPART 2\nb"],
        ["PART 1\na", "PART 1\nPART 3", "Part 1\nPart 2"],
    ),
    (
        {"kind": "sentences", "count": 2, "relation": "exactly"},
        ["One. Two!", "Is it 3.5? Yes."],
        ["One", "One. Two. Three."],
    ),
    (
        {"kind": "starred_paragraphs", "count": 2, "relation": "exactly"},
        ["a\n***\nb"],
        ["a\n***", "a\n\nb"],
    ),
    (
        {"kind": "end_phrase", "text": "The End."},
        ['"It is the end."', "the end. "],
        ["The End"],
    ),
    ({"kind": "title"}, ["<<My Day>>\nIt was"], ["<< >>\nIt was", "My Day"]),
    ({"kind": "two_answers"}, ["a\n******\nb"], ["a\n******\na", "a", "a\n******"]),
    ({"kind": "unique_words"}, ["One two three"], ["One two one", ""]),
    (
        {"kind": "words", "count": 3, "relation": "at_most"},
        ["a b c", "it's"],
        ["a b c d", "", "   "],
    ),
]


def test_every_form_is_tested_and_there_are_enough() -> None:
    assert {expected["kind"] for expected, _, _ in CASES} == set(FORMS)
    assert len(FORMS) >= 20


@pytest.mark.parametrize(
    ("expected", "right", "wrong"), CASES, ids=[e["kind"] for e, _, _ in CASES]
)
def test_form(expected: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not follows(expected, text)] == []
    assert [text for text in wrong if follows(expected, text)] == []


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"kind": "words"}, "lacks 'count'"),
        ({"kind": "words", "count": "3"}, "count must be a whole number, not '3'"),
        (
            {"kind": "words", "count": 3, "relation": "about"},
            "relation is 'about'; known",
        ),
        ({"kind": "keywords", "words": []}, "words must be a list of at least one text"),
        ({"kind": "paragraph_starts", "paragraph": 0, "word": "a"}, "counts from 1, not 0"),
    ],
)
def test_a_check_that_cannot_be_made_is_an_error(expected: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        follows(expected, "text")
