# ruff: noqa: RUF001 - signs that look alike are the matter here
"""Languages other than English: their own texts pass their own rules, and no other language's."""

from typing import cast

import polars as pl
import pytest

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check
from k2core.clean.contamination import HeldOutRuns
from k2core.clean.judge import check_texts, judge
from k2core.clean.signs import UNSPACED, split_signs
from schemas.clean import C4, CleanConfig, DomainRules, FineWeb, Quality
from schemas.corpus import DocumentRow
from tests.k2core.clean.corpora import document
from tests.k2core.clean.declaration import ARTICLE_1

ALL = pl.Series(list(ARTICLE_1.values()))
RULES = DomainRules(quality=Quality(min_words=15), c4=C4(min_sentences=1), fineweb=FineWeb())


def failed(language: str, rules: DomainRules = RULES) -> list[list[Check]]:
    """Of each language's article the checks that it fails under a language's rules."""
    checked = check_texts(ALL, rules, CleanConfig(languages=(language,)))
    return [[check for check in checked.checks if check.fails_N[n]] for n in range(len(ALL))]


def test_there_are_twenty_languages_of_five_scripts() -> None:
    assert len(ARTICLE_1) >= 28
    assert len(UNSPACED & ARTICLE_1.keys()) == 3


@pytest.mark.parametrize("language", ARTICLE_1)
def test_a_text_passes_the_rules_of_its_own_language_alone(language: str) -> None:
    found = dict(zip(ARTICLE_1, failed(language), strict=True))
    assert [(check.rule, check.reason) for check in found.pop(language)] == []
    for other, checks in found.items():
        assert "language" in {check.rule for check in checks}, other


@pytest.mark.parametrize("language", [name for name in ARTICLE_1 if name != "en"])
def test_english_rules_are_not_another_language_s(language: str) -> None:
    text = pl.Series([ARTICLE_1[language]])
    (own,) = check_texts(text, RULES, CleanConfig(languages=(language,))).texts
    assert own == ARTICLE_1[language]  # no line is cut off for its end
    rules = RULES.model_copy(update={"c4": None, "fineweb": None, "language": False})
    checks = check_texts(text, rules, CleanConfig()).checks
    assert "too_few_stop_words" in {check.reason for check in checks if check.fails_N[0]}


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("自由、平等", ["自", "由", "、", "平", "等"]),
        ("の2024年", ["の", "2024", "年"]),
        ("กี่คน", ["กี่", "ค", "น"]),
        ("free", ["free"]),
        ("", []),
    ],
)
def test_unspaced_scripts_are_read_sign_by_sign(text: str, signs: list[str]) -> None:
    assert list(split_signs(text)) == signs


def test_repetition_is_seen_without_spaces() -> None:
    loop = "他们应当以兄弟精神相对待，" * 40
    texts = pl.Series([loop, ARTICLE_1["zh"]])
    rules = DomainRules(quality=None, language=False)
    checks = check_texts(texts, rules, CleanConfig(languages=("zh",))).checks
    fails = {check.reason: check.fails_N.tolist() for check in checks}
    assert fails["duplicate_10_grams"] == [True, False]
    assert not any(found[1] for found in fails.values())
    assert TextBatch(texts, "zh").words_N[1] == len(ARTICLE_1["zh"])
    assert TextBatch(texts, "en").words_N[1] < 10


ENGLISH = "The lighthouse was built by engineers from Denmark, after many ships had been wrecked."
GERMAN = "Der Leuchtturm wurde von Ingenieuren aus Dänemark gebaut, nachdem viele Schiffe sanken."
CODE = "sudo apt-get install -y foo bar baz && ls -la /etc/apt/sources.list.d | grep -v '^#' | wc"
NAMES = "Vladimir Ilyich Ulyanov, Joseph Vissarionovich Stalin, Leon Trotsky, Rosa Luxemburg"
HALF = [*[ENGLISH] * 30, *[GERMAN] * 40]
"""Its start is English throughout."""
SHORT = "Der Leuchtturm steht am Meer."


@pytest.mark.parametrize(
    ("languages", "paragraphs", "kept", "reason"),
    [
        ("en", [ENGLISH, GERMAN, ENGLISH], [ENGLISH, ENGLISH], ""),
        ("en", [ENGLISH, CODE, NAMES, SHORT], [ENGLISH, CODE, NAMES, SHORT], ""),
        ("en", HALF, HALF, "foreign_paragraphs"),
        ("de en", HALF, HALF, ""),
        ("en", [GERMAN, GERMAN], [GERMAN, GERMAN], "not_en"),
        ("de", [ENGLISH, GERMAN, GERMAN], [GERMAN, GERMAN], ""),
        ("fr es", [ENGLISH, ENGLISH], [ENGLISH, ENGLISH], "not_fr_or_es"),
    ],
)
def test_paragraphs_of_other_languages_are_cut_or_take_the_page_with_them(
    languages: str, paragraphs: list[str], kept: list[str], reason: str
) -> None:
    config = CleanConfig(languages=tuple(languages.split()))
    rules = DomainRules(quality=None, repetition=None)
    checked = check_texts(pl.Series(["\n\n".join(paragraphs)]), rules, config)
    assert checked.texts.to_list() == ["\n\n".join(kept)]
    assert next((c.reason for c in checked.checks if c.fails_N[0]), "") == reason
    again = check_texts(checked.texts, rules, config).texts
    assert again.to_list() == checked.texts.to_list()


def test_of_several_languages_each_text_is_held_to_its_own_rules() -> None:
    """Chinese is counted by sign beside English by word."""
    names = ("en", "zh", "th", "fr")
    rows = cast(list[DocumentRow], [document(name, ARTICLE_1[name]) for name in names])
    rules = DomainRules(quality=Quality(min_words=15))
    config = CleanConfig(languages=("en", "zh", "fr"), web=rules)
    held_out = HeldOutRuns((), config.decontamination)
    reasons = [
        each.verdict.reason if each.dropped else "" for each in judge(rows, config, held_out)
    ]
    assert reasons == ["", "", "not_en_or_zh_or_fr", ""]
