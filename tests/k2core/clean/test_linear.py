"""Texts and pages that make quadratic work last for hours: judged at all, so in time."""

import pytest

from k2core.clean.contamination import HeldOutRuns
from k2core.clean.form import normalise, normalise_all
from k2core.clean.judge import judge
from k2core.clean.nesting import flatten
from k2core.clean.words import is_address, split_piece
from schemas.clean import C4, CleanConfig, DomainRules, FineWeb
from schemas.corpus import DocumentRow

CONFIG = CleanConfig(web=DomainRules(c4=C4(), fineweb=FineWeb()))
UNITS = (
    *("(", "<", "&", "\n ", "a.", "http://", "\u0300\u0316", "=", ".(", "a:", "a@", "a.@", "a-"),
    *("<div>", "<p>", "<ul><li>", "<svg><math>", "<!--", "<a b=", "{", "%", "你好", "eyJ", "1:"),
)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", UNITS)
def test_a_text_of_one_thing_is_judged(unit: str) -> None:
    text = unit * (150_000 // len(unit))
    about = {"doc_id": "1", "source": "s", "path": "p", "domain": "web", "license": "x"}
    rows = [
        DocumentRow(**about, format=form, digest="", text=text)  # type: ignore[typeddict-item]
        for form in ("text", "html")
    ]
    assert len(list(judge(rows, CONFIG, HeldOutRuns([], CONFIG.decontamination)))) == 2


def test_signs_at_the_ends_are_given_up_to_a_bound() -> None:
    assert split_piece("((a))") == ["(", "(", "a", ")", ")"]
    assert len(split_piece("(" * 1500)) == 1500
    assert len(split_piece("(" * 100_000)) < 4002


@pytest.mark.parametrize(
    ("piece", "is_one"),
    [
        ("a.org", True), ("https://me:pw@a.b.org:80/x?y", True), ("x@a.org", True),
        ("a@b@c.de/f@g", True), ("a.b", False), ("a_.org", False), ("@a.org", False),
        ("a..org", False), ("a.org:8", False), ("http://", False), ("a" * 65 + ".org", False),
    ],
)  # fmt: skip
def test_addresses(piece: str, is_one: bool) -> None:
    assert is_address(piece) == is_one


def test_only_what_is_too_deep_is_flattened() -> None:
    page = b"<div><p>one</p></div>" * 300 + b"<br>" * 3000
    assert flatten(page) == page
    deep = flatten(b"<div>" * 3000 + b"x" + b"</div>" * 100)
    assert deep.count(b"<div>") == 257
    assert b"x" in deep


def test_marks_without_end_are_thinned_and_unseen_signs_go() -> None:
    assert len(normalise("a" + "\u0316\u0300" * 5000)) <= 31
    assert normalise("sum\u00admer\u200b\x0cChapter\ufeff") == "summer\n\nChapter"
    assert normalise("a.\x0bb\u2028c\x85d\u2029e\x1ff") == "a.\nb\nc\nd\n\ne f"


@pytest.mark.parametrize(
    "text",
    [
        "a \r\nb\rc",
        "a\fb",
        "a\x7fb",
        "a\u2028b",
        "a\x0bb",
        "e\u0301" * 40,
        "e" + "\u0301" * 31,
        "\u4e00" * 40,
        " a \n\n",
    ],
)
def test_a_text_alone_takes_the_form_that_it_has_among_many(text: str) -> None:
    assert normalise(text) == normalise_all(["x", text])[1]
