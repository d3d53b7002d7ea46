# ruff: noqa: RUF001 - signs that look alike are the matter here
import random
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, first_failures, nearest
from k2core.clean.extract import extract_text
from k2core.clean.form import normalise
from k2core.clean.language import check_language
from k2core.clean.ngrams import find_repeated, most_frequent, repeated_characters
from k2core.clean.privacy import redact, redact_all
from k2core.clean.prose import check_prose, count_sentences
from k2core.clean.quality import check_quality
from k2core.clean.repetition import check_repetition
from k2core.clean.words import _split_signs, split_piece
from schemas.clean import C4, FineWeb, Quality, Repetition
from tests.k2core.clean.corpora import prose

ANY = Quality(
    min_words=0,
    min_mean_word_length=0,
    max_mean_word_length=99,
    max_symbol_word_ratio=9,
    max_bullet_lines_frac=1,
    max_ellipsis_lines_frac=1,
    min_alphabetic_words_frac=0,
    min_stop_words=0,
)


def first(checks: list[Check]) -> str | None:
    """The reason that the only document is dropped for."""
    number = int(first_failures(checks, 1)[0])
    return checks[number].reason if number >= 0 else None


def one(text: str) -> TextBatch:
    return TextBatch(pl.Series([text]))


def reason(text: str, **rules: float) -> str | None:
    return first(check_quality(one(text), ANY.model_copy(update=rules)))


def repeats(text: str) -> str | None:
    return first(check_repetition(one(text), Repetition()))


@pytest.mark.parametrize(
    ("kept", "dropped", "rule", "why"),
    [
        ("a b c", "a b", {"min_words": 3}, "too_few_words"),
        ("a b", "a b c", {"max_words": 2}, "too_many_words"),
        ("abc abc", "ab abc", {"min_mean_word_length": 3.0}, "words_too_short"),
        ("abc abc", "abcd abc", {"max_mean_word_length": 3.0}, "words_too_long"),
        ("# b " + "c " * 8, "# # " + "c " * 8, {"max_symbol_word_ratio": 0.1}, "too_many_hashes"),
        ("a… b c d", "a… b... c d", {"max_symbol_word_ratio": 0.25}, "too_many_ellipses"),
        ("- a\nb", "- a\n• b\nc", {"max_bullet_lines_frac": 0.5}, "too_many_bullets"),
        ("a...\nb", "a...\nb…\nc", {"max_ellipsis_lines_frac": 0.5}, "too_many_cut_lines"),
        ("a 1", "a 1 2", {"min_alphabetic_words_frac": 0.5}, "too_few_alphabetic_words"),
        ("the x of", "the x The", {"min_stop_words": 2}, "too_few_stop_words"),
    ],
)
def test_a_quality_rule_drops_beyond_its_threshold_only(
    kept: str, dropped: str, rule: dict[str, float], why: str
) -> None:
    assert reason(kept, **rule) is None
    assert reason(dropped, **rule) == why
    assert reason(dropped) is None


def test_defaults_are_table_a1() -> None:
    assert first(check_quality(one(prose(1)), Quality())) is None
    assert repeats(prose(1)) is None
    checks = check_quality(one("the be " * 24), Quality())
    assert checks[0].verdict(0) == ("gopher_quality", "too_few_words", 48, 50)


def naive_top(words: list[str], n: int) -> tuple[int, list[str]]:
    counts = Counter(tuple(words[k : k + n]) for k in range(len(words) - n + 1))
    gram, count = counts.most_common(1)[0] if counts else ((), 0)
    return (count, list(gram)) if count > 1 else (0, [])


def naive_duplicates(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    total = start = 0
    while start + n <= len(words):
        gram = tuple(words[start : start + n])
        total += sum(map(len, gram)) if gram in seen else 0
        start += n if gram in seen else 1
        seen.add(gram)
    return total


def test_ngrams_of_many_documents_are_those_of_each() -> None:
    rng = random.Random(0)
    texts = [
        " ".join(rng.choices(["a", "bb", "ccc", "dddd", "e"], k=rng.randrange(40)))
        for _ in range(60)
    ]
    batch = TextBatch(pl.Series(texts))
    lengths = batch.words.words.length_V[batch.words.ids_T]
    before = np.concatenate([[0], np.cumsum(lengths)])
    pieces = [word for text in texts for word in text.split()]
    for found in find_repeated(batch.words.ids_T, batch.document_T, 7):
        counts, places = most_frequent(found, batch.document_T, len(texts))
        tops = [naive_top(text.split(), found.n) for text in texts]
        assert counts.tolist() == [count for count, _ in tops]
        for count, place, (_, gram) in zip(counts, places, tops, strict=True):
            assert not count or pieces[place : place + found.n] == gram
        characters = repeated_characters(found, before, batch.document_T, len(texts))
        assert characters.tolist() == [naive_duplicates(t.split(), found.n) for t in texts]


def test_repetition_reasons() -> None:
    words = prose(1).split()
    assert repeats("\n".join([*words, *words[:5] * 10])) == "duplicate_lines"
    assert repeats("\n\n".join(["one two three four five", *words[:2]] * 3)) == (
        "duplicate_paragraphs"
    )
    assert repeats("go on " * 50) == "top_2_gram"
    sentence = "every word of this sentence comes again later in the very same order "
    assert str(repeats(sentence + " ".join(words[:40]) + " " + sentence)).startswith("duplicate_")


def test_repeated_lines_are_counted_by_hand() -> None:
    checks = check_repetition(one("ab\n\nc\nab\n\nab"), Repetition())
    measured = {check.reason: float(check.measured_N[0]) for check in checks}
    # Paragraphs `ab`, `c ab`, `ab`; lines `ab c ab ab`; 12 characters.
    assert measured["duplicate_paragraphs"] == pytest.approx(1 / 3)
    assert measured["duplicate_paragraph_characters"] == pytest.approx(2 / 12)
    assert measured["duplicate_lines"] == pytest.approx(2 / 4)
    assert measured["duplicate_line_characters"] == pytest.approx(4 / 12)


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ("don't", "do n't"), ("(e.g.,", "( e.g. ,"), ("end.", "end ."), ("U.S.", "U.S."),
        ("well-known", "well - known"), ("10km", "10 km"), ('"quoted"', '" quoted "'),
        ("it's", "it 's"), ("http://a.org/x.", "http://a.org/x ."), ("3.14", "3.14"),
        ("a,b", "a , b"), ("cannot", "can not"), ("Mr.", "Mr."), ("f(x):", "f(x ) :"),
        ("...", "..."), ("wait...", "wait ..."), ("$5", "$ 5"), ("and/or", "and/or"),
    ],
)  # fmt: skip
def test_words_are_spacys(piece: str, words: str) -> None:
    assert split_piece(piece) == words.split()


@pytest.mark.parametrize(
    "piece",
    ["54", "2018;", "8)", "٣)", "Amazon’s", "SWIFT'S", "im's", "'s", "it’s", "дочери.", "Straße.",
     "Ā.", "ÿ.", "я..", "人.", "x²’s", "7's"],
)  # fmt: skip
def test_words_of_usual_forms_are_what_the_rules_say(piece: str) -> None:
    assert split_piece(piece) == _split_signs(piece)


def test_drawn_words_are_what_the_rules_say() -> None:
    rng = random.Random(0)
    for _ in range(20_000):
        piece = "".join(rng.choices("aSzÉßÿĀя人10.,;:'’\"!)(-%$²", k=rng.randint(1, 6)))
        assert split_piece(piece) == _split_signs(piece), piece


LINES = (
    "This line has words. It ends twice! Really?",
    "short one",
    "Javascript is needed to read this page.",
    "Our privacy policy is found in this place.",
    "A line without an end mark in it",
    "The fact is known.[1] Nobody doubts it.[citation needed]",
    "x" * 1001 + " is a long word.",
)


def test_c4_removes_lines_then_pages() -> None:
    prose_text = check_prose(one("\n".join(LINES)), C4(), None)
    assert prose_text.texts.to_list() == [f"{LINES[0]}\nThe fact is known. Nobody doubts it."]
    assert {c.reason: c.measured_N[0] for c in prose_text.checks}["too_few_sentences"] == 5
    assert first(prose_text.checks) is None
    free = check_prose(one("\n".join(LINES)), C4(end_marks=False), None)
    assert LINES[4] in free.texts[0]
    assert first(check_prose(one(LINES[0]), C4(), None).checks) == "too_few_sentences"
    assert first(check_prose(one(f"{LINES[0]}\nlet us {{ go."), C4(), None).checks) == (
        "curly_bracket"
    )
    assert first(check_prose(one("Lorem ipsum dolor sit amet."), C4(), None).checks) == (
        "lorem_ipsum"
    )


def test_sentences_begin_after_a_run_of_signs_with_an_end_mark() -> None:
    batch = one('One. Two?) Three "four." Five...\n\n. Six')
    assert count_sentences(batch).tolist() == [4, 0, 2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n".join(f"line number {n} is a long one without" for n in range(9)),
         "too_few_ended_lines"),
        ("\n".join(f"line {n} is short." for n in range(9)), "short_lines"),
        ("\n".join(["The same long line comes again and again here."] * 3),
         "duplicate_characters"),
        ("\n".join(f"{'word' * 9}{n}." for n in range(9)), "list_like"),
        ("\n".join(f"Line {n} has quite a few words and a good end." for n in range(9)), None),
    ],
)  # fmt: skip
def test_fineweb(text: str, why: str | None) -> None:
    assert first(check_prose(one(text), None, FineWeb()).checks) == why


def test_a_document_is_judged_alike_in_any_company() -> None:
    texts = [
        "",
        "a",
        *LINES,
        prose(1),
        "é… ü\u2003x\u2028- ö…",
        *(prose(n) + "[2]" for n in range(4)),
    ]

    def measure(texts: list[str]) -> list[list[float]]:
        batch = TextBatch(pl.Series(texts, dtype=pl.String))
        checks = check_quality(batch, Quality()) + check_repetition(batch, Repetition())
        checks += check_prose(batch, C4(), FineWeb()).checks
        rows = zip(*(check.measured_N for check in checks), strict=True)
        return [[float(value) for value in row] for row in rows]

    assert measure(texts) == [measure([text])[0] for text in texts]
    assert measure(texts[::-1]) == measure(texts)[::-1]


def test_the_first_failure_decides_and_the_nearest_is_told() -> None:
    checks = [
        Check("r", "few", np.array([5.0, 9.0]), 10, floor=True),
        Check("r", "many", np.array([0.1, 0.5]), 1.0),
    ]
    assert first_failures(checks, 2).tolist() == [0, 0]
    checks[0] = Check("r", "few", np.array([50.0, 11.0]), 10, floor=True)
    assert first_failures(checks, 2).tolist() == [-1, -1]
    assert nearest(checks, 2).tolist() == [0, 0]
    assert checks[0].nearness_N.tolist() == [0.2, 10 / 11]


def test_language() -> None:
    texts = ["This is a text about the history of music.", "Dies ist ein Text\nüber die Musik.", ""]
    english = check_language(pl.Series(texts), ["en"], 0.3)
    assert english.reason == "not_en"
    assert english.fails_N.tolist() == [False, True, True]
    assert check_language(pl.Series(texts), ["de"], 0.5).fails_N.tolist() == [True, False, True]


PERSONAL = {
    "email": "write to jane.doe+x@mail.company.co.uk, please",
    "ip": "from 8.8.8.8, at 3 pm",
    "phone": "call +49 30 1234 5678 or not",
    "key": "export KEY=AKIAABCDEFGHIJKLMNOP\n",
    "iban": "to DE89 3704 0044 0532 0130 00 by Monday",
    "card": "paid with 4111 1111 1111 1111 today",
    "ssn": "SSN 536-22-1234 of hers",
}
FORMS = {
    "ip": ("2606:4700:4700::1111", "2a00:1450:4001::", "8.8.4.4", "(8.8.4.4)", "addr=8.8.4.4",
           "host 8.1.2.3",
           "[8.1.2.3]", "http://8.1.2.3/x"),
    "phone": (
        "tel. 030 1234567", "Phone: 020 7946 0958", "+1 212 555 0199", "Tél : 01 42 23 45 67",
        "+33 1 42 23 45 67", "+81-3-3345-1384", "1-415-866-6237", "my number is 030 1234567",
        "+49-30-1234567-0", "+1-555-123-4567x89", "+1\u00a0555\u00a0123\u00a04567",
        "+1\u2011555\u2011123\u20114567", "电话：010-12345678", "電話 03-1234-5678",
        "телефон: 8 (495) 123-45-67", "teléfono 912 345 678", "telefone: (11) 91234-5678",
    ),
    "card": ("card 4111111111111111", "3782 822463 10005", "5555-5555-5555-4444",
             "4111 1111 1111 1111 09/29", "4111\u00a01111\u00a01111\u00a01111"),
    "iban": ("GB82WEST12345698765432", "FR14 2004 1010 0505 0001 3M02 606",
             "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000"),
    "ssn": ("SSN: 536221234", "social security number 536 22 1234"),
    "email": (
        "joe@notexample.com", "git.user@mail.org", "o'brien@mail.org", "joe@münchen.de",
        "иван@почта.рф", "joe (at) mail (dot) org", "joe[at]mail.co.uk", "joe@163.com",
    ),
    "key": (
        f"eyJ{'a1' * 10}.eyJ{'b2' * 10}.{'c3' * 10}", f"glpat-{'x1' * 10}", f"npm_{'a1' * 18}",
        f"sk_live_{'a1' * 12}", f"SG.{'a1' * 11}.{'b2' * 20}", "postgres://me:secret@db.org/x",
        f"GOCSPX-{'a1' * 14}", f"aws_secret_access_key = {'a+/B' * 10}",
        f"https://hooks.slack.com/services/T0AB12CD/B0AB12CD/{'a1' * 12}",
        f"whsec_{'a1' * 16}", f"xapp-1-{'a1' * 12}", f"shpat_{'a1' * 16}", f"key-{'a1' * 16}",
        f"123456789:AA{'a1b' * 11}", f"hvs.{'a1' * 16}", "redis://:secret@db.org:6379",
        "-----BEGIN PGP PRIVATE KEY BLOCK----- x -----END PGP PRIVATE KEY BLOCK-----",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(k, text) for k in FORMS for text in FORMS[k]])
def test_other_forms_of_it_are_replaced_too(kind: str, text: str) -> None:
    redacted, counts = redact(f"see {text} there")
    assert {k: n for k, n in counts.items() if n} == {kind: 1}
    assert redact(redacted).text == redacted
    assert redact_all(pl.Series([f"see {text} there"]))[0][0] == redacted


@pytest.mark.parametrize("kind", PERSONAL)
def test_planted_personal_data_is_replaced(kind: str) -> None:
    text, counts = redact(PERSONAL[kind])
    assert f"<{kind.upper()}>" in text
    assert {k: n for k, n in counts.items() if n} == {kind: 1}
    assert redact(text) == (text, dict.fromkeys(counts, 0))


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1 and 192.168.0.1", "me@example.com", "version 1.2.3.4.5", "555 + 123 = 678",
     "from 1914-18 to 2001-09-11", "a[1:2] @ b.T", "12:30:45:10", "See Section 4.3.2.1, and",
     "4.3.2.1 Guided partitioning", "version 8.6.2.10", "git@github.com", "logo@2x.png",
     "+12 345 678", "std::vector a::b", "DE89 3704 0044 0532 0130 01", "4111 1111 1111 1112",
     "x = 4111111111111111", "call 12 times", "dead::beef", "libfoo (= 5.19.17.16)",
     "bar >= 8.8.4.4", "Agent/9.8.7.6",
     "the number is 12345678", "python 3.11.7.1", "nginx 1.25.3.1 from 8.1.2.3", "(see 4.2.1.3)",
     "assembly 4.0.0.0", "Kapitel 40.2.1.3", "lodash@4.17.21.tgz", "at noon (at) x. Then",
     "sk-learn-contrib-something-long", "order 536221234", "x[at] y.b"],
)  # fmt: skip
def test_what_is_nobodys_stays(text: str) -> None:
    assert redact(text).text == text


def test_more_keys_and_numbers() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"
    text = f"(555) 123-4567, 555-123-4567; {key}; ghp_{'a1' * 18}; 2001:db8:0:0:0:0:0:1 "
    redacted = redact(text)
    assert {kind: num for kind, num in redacted.counts.items() if num} == {"key": 2, "phone": 2}
    assert "MIIE" not in redacted.text
    assert redact("at 2606:4700:4700:0:0:0:0:1111 now").text == "at <IP> now"


@given(st.text(max_size=200))
def test_redacting_and_normalising_twice_changes_nothing(text: str) -> None:
    once = redact(normalise(text)).text
    assert redact(normalise(once)).text == once


def test_redacting_many_is_redacting_each() -> None:
    key = "-----BEGIN PRIVATE KEY-----\na\n-----END PRIVATE KEY-----"
    texts = [
        *PERSONAL.values(),
        "nothing here",
        key,
        "(555) 123-4567",
        "2606:4700:4700:0:0:0:0:1111",
    ]
    redacted, counts = redact_all(pl.Series(texts))
    assert list(zip(redacted, counts, strict=True)) == [redact(text) for text in texts]


@pytest.mark.parametrize("html", ["", "<html></html>", "<p", "<div>" * 5000 + "deep", "\x00"])
def test_extraction_survives_anything(html: str) -> None:
    assert extract_text(html) in {"", "deep"}
