import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.clean.contamination import HeldOut
from k2core.clean.duplicates import Deduplicator
from k2core.clean.extract import extract_text, normalise
from k2core.clean.language import check_language
from k2core.clean.privacy import redact
from k2core.clean.quality import check_quality
from k2core.clean.repetition import (
    check_repetition,
    count_repeats,
    duplicate_ngrams_frac,
    top_ngram_frac,
)
from schemas.clean import Decontamination, Deduplication, Quality, Repetition
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


def reason(text: str, **rules: float) -> str | None:
    verdict = check_quality(text, ANY.model_copy(update=rules))
    return verdict and verdict.reason


@pytest.mark.parametrize(
    ("kept", "dropped", "rule", "why"),
    [
        ("a b c", "a b", {"min_words": 3}, "too_few_words"),
        ("a b", "a b c", {"max_words": 2}, "too_many_words"),
        ("abc abc", "ab abc", {"min_mean_word_length": 3.0}, "words_too_short"),
        ("abc abc", "abcd abc", {"max_mean_word_length": 3.0}, "words_too_long"),
        ("# b " + "c " * 8, "# # " + "c " * 8, {"max_symbol_word_ratio": 0.1}, "too_many_hashes"),
        ("a… b c d", "a… b... c d", {"max_symbol_word_ratio": 0.25}, "too_many_ellipses"),
        ("- a\nb", "- a\n* b\nc", {"max_bullet_lines_frac": 0.5}, "too_many_bullets"),
        ("a...\nb", "a...\nb…\nc", {"max_ellipsis_lines_frac": 0.5}, "too_many_cut_lines"),
        ("a 1", "a 1 2", {"min_alphabetic_words_frac": 0.5}, "too_few_alphabetic_words"),
        ("The x of", "the x The", {"min_stop_words": 2}, "too_few_stop_words"),
    ],
)
def test_a_quality_rule_drops_beyond_its_threshold_only(
    kept: str, dropped: str, rule: dict[str, float], why: str
) -> None:
    assert reason(kept, **rule) is None
    assert reason(dropped, **rule) == why
    assert check_quality(dropped, ANY) is None


def test_defaults_are_table_a1() -> None:
    assert check_quality(prose(1), Quality()) is None
    assert check_repetition(prose(1), Repetition()) is None
    verdict = check_quality("the be " * 24, Quality())
    assert verdict == ("gopher_quality", "too_few_words", 48, 50)


def test_repeats_are_counted_by_hand() -> None:
    assert count_repeats(["ab", "c", "ab", "ab"], 10) == (0.5, 0.4)
    # `a bb` twice: 2 * 4 characters of 13.
    assert top_ngram_frac(["a", "bb", "ccc", "a", "bb"], 2, 13) == 8 / 13
    assert top_ngram_frac(["a", "b", "c"], 2, 5) == 0
    # The second `a b c` is 3 characters of 11; the overlapping `b c a` is no repeat of its own.
    assert duplicate_ngrams_frac(["a", "b", "c", "a", "b", "c"], 3, 11) == 3 / 11
    assert duplicate_ngrams_frac(["x", "x", "x", "x", "x", "x"], 2, 11) == 4 / 11
    assert duplicate_ngrams_frac(["a", "b"], 5, 3) == 0


def test_repetition_reasons() -> None:
    words = prose(1).split()
    lines = "\n".join([*words, *words[:5] * 10])
    assert (check_repetition(lines, Repetition()) or ("", ""))[1] == "duplicate_lines"
    paragraphs = "\n\n".join(["one two three four five", *words[:2]] * 3)
    assert (check_repetition(paragraphs, Repetition()) or ("", ""))[1] == "duplicate_paragraphs"
    assert (check_repetition("go on " * 50, Repetition()) or ("", ""))[1] == "top_2_gram"
    sentence = "every word of this sentence comes again later in the very same order "
    text = sentence + " ".join(words[:40]) + " " + sentence
    assert (check_repetition(text, Repetition()) or ("", ""))[1].startswith("duplicate_")


def test_language() -> None:
    assert check_language("This is a text about the history of music.", "en", 0.5) is None
    german = check_language("Dies ist ein Text über die Geschichte der Musik.", "en", 0.3)
    assert german is not None
    assert german.reason == "not_en"
    assert german.measured < 0.3
    assert check_language("Dies ist ein Text\nüber die Geschichte der Musik.", "de", 0.5) is None


PERSONAL = {
    "email": "write to jane.doe+x@mail.company.co.uk, please",
    "ip": "from 8.8.8.8, at 3 pm",
    "phone": "call +49 30 1234 5678 or not",
    "key": "export KEY=AKIAABCDEFGHIJKLMNOP\n",
}


@pytest.mark.parametrize("kind", PERSONAL)
def test_planted_personal_data_is_replaced(kind: str) -> None:
    text, counts = redact(PERSONAL[kind])
    assert f"<{kind.upper()}>" in text
    assert {k: n for k, n in counts.items() if n} == {kind: 1}
    assert redact(text) == (text, dict.fromkeys(counts, 0))


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1 and 192.168.0.1", "me@example.com", "version 1.2.3.4.5", "555 + 123 = 678",
     "from 1914-18 to 2001-09-11", "a[1:2] @ b.T", "12:30:45:10"],
)  # fmt: skip
def test_what_is_nobodys_stays(text: str) -> None:
    assert redact(text).text == text


def test_more_keys_and_numbers() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"
    text = f"(555) 123-4567, 555-123-4567; {key}; ghp_{'a1' * 18}; 2001:db8:0:0:0:0:0:1 "
    redacted = redact(text)
    assert redacted.counts == {"key": 2, "email": 0, "ip": 0, "phone": 2}
    assert "MIIE" not in redacted.text
    assert redact("at 2606:4700:4700:0:0:0:0:1111 now").text == "at <IP> now"


@given(st.text(max_size=200))
def test_redacting_and_normalising_twice_changes_nothing(text: str) -> None:
    once = redact(normalise(text)).text
    assert redact(normalise(once)).text == once


def test_contamination_by_runs_and_by_whole_short_problems() -> None:
    config = Decontamination(ngram=6, min_tokens=4, max_problems=2)
    held_out = HeldOut(
        ["What is 12 + 7?", "one two three four five six seven", "too short"], config
    )
    assert held_out.check("Q: what IS 12+7 ? A: 19") == (
        "decontamination", "held_out_problem", 1, 0,
    )  # fmt: skip
    assert held_out.check("what is 12 - 7 ?") is None
    assert held_out.check("zero one two three four five six!") is not None
    assert held_out.check("one two three four five") is None
    assert held_out.check("this is too short") is None


def test_runs_of_a_template_are_no_evidence() -> None:
    config = Decontamination(ngram=6, max_problems=2)
    template = "please add up all of these numbers now {0}{0} {1}{1}"
    held_out = HeldOut([template.format(n, n + 7) for n in range(9)], config)
    assert held_out.check("please add up all of these numbers now 999 998") is None
    assert held_out.check("so: please add up all of these numbers now 33 1010") is not None


def test_duplicates_exact_and_near() -> None:
    first = prose(1)
    near = first.replace("bronze", "copper")
    deduplicator = Deduplicator(Deduplication())
    assert deduplicator.check(first, near=True) is None
    assert (deduplicator.check(first, near=True) or ("", ""))[1] == "exact_duplicate"
    verdict = deduplicator.check(near, near=True)
    assert verdict is not None
    assert verdict.reason == "near_duplicate"
    assert 0.75 <= verdict.measured < 1
    assert deduplicator.check(near, near=False) is None
    assert deduplicator.check(prose(50), near=True) is None


def test_similarity_estimates_jaccard() -> None:
    words = [f"w{number}" for number in range(400)]
    other = words[:300] + [f"v{number}" for number in range(100)]
    config = Deduplication(num_bands=128, num_rows=2, min_similarity=0.01)
    deduplicator = Deduplicator(config)
    assert deduplicator.check(" ".join(words), near=True) is None
    verdict = deduplicator.check(" ".join(other), near=True)
    assert verdict is not None
    assert verdict.measured == pytest.approx(296 / 496, abs=0.1)


def test_extraction_keeps_code_and_drops_navigation() -> None:
    html = """<html><head><title>t</title><style>p {}</style></head><body>
    <nav><a href="/">Home</a></nav><div role="main"><h1>Title<a class="headerlink">¶</a></h1>
    <p>One <b>bold</b>
       word.</p><pre>if x:
    y = 1

    z</pre><ul><li>a</li><li>b</li></ul><table><tr><td>1</td><td>2</td></tr></table>
    <script>alert(1)</script></div><footer>end</footer></body></html>"""
    text = extract_text(html)
    assert text == ("Title\n\nOne bold word.\n\nif x:\n    y = 1\n\n    z\n\n- a\n- b\n\n1 2")
    for gone in ("Home", "¶", "alert", "end", "p {}"):
        assert gone not in text


@pytest.mark.parametrize("html", ["", "<html></html>", "<p", "<div>" * 5000 + "deep", "\x00"])
def test_extraction_survives_anything(html: str) -> None:
    assert extract_text(html) in {"", "deep"}
