"""Gopher's quality filter (arXiv:2112.11446, table A1)."""

import re

from k2core.clean.verdict import Verdict
from schemas.clean import Quality

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
RULE = "gopher_quality"
_BULLET = re.compile(r"\s*[•‣◦⁃▪●*+-]\s")  # noqa: RUF001
_ELLIPSIS = re.compile(r"\.\.\.|…")
_LETTER = re.compile(r"[^\W\d_]")


def check_quality(text: str, rules: Quality) -> Verdict | None:
    """The first of table A1's quality rules that the text breaks."""
    words = text.split()
    num = len(words)
    if num < rules.min_words:
        return Verdict(RULE, "too_few_words", num, rules.min_words)
    if num > rules.max_words:
        return Verdict(RULE, "too_many_words", num, rules.max_words)
    mean = sum(map(len, words)) / max(1, num)
    if mean < rules.min_mean_word_length:
        return Verdict(RULE, "words_too_short", mean, rules.min_mean_word_length)
    if mean > rules.max_mean_word_length:
        return Verdict(RULE, "words_too_long", mean, rules.max_mean_word_length)
    for reason, signs in (
        ("too_many_hashes", text.count("#")),
        ("too_many_ellipses", len(_ELLIPSIS.findall(text))),
    ):
        if (ratio := signs / max(1, num)) > rules.max_symbol_word_ratio:
            return Verdict(RULE, reason, ratio, rules.max_symbol_word_ratio)
    return _check_lines(text, rules) or _check_words(words, rules)


def _check_lines(text: str, rules: Quality) -> Verdict | None:
    lines = [line for line in text.splitlines() if line.strip()]
    bullets = sum(bool(_BULLET.match(line)) for line in lines) / max(1, len(lines))
    if bullets > rules.max_bullet_lines_frac:
        return Verdict(RULE, "too_many_bullets", bullets, rules.max_bullet_lines_frac)
    ellipses = sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(1, len(lines))
    if ellipses > rules.max_ellipsis_lines_frac:
        return Verdict(RULE, "too_many_cut_lines", ellipses, rules.max_ellipsis_lines_frac)
    return None


def _check_words(words: list[str], rules: Quality) -> Verdict | None:
    alphabetic = sum(bool(_LETTER.search(word)) for word in words) / max(1, len(words))
    if alphabetic < rules.min_alphabetic_words_frac:
        threshold = rules.min_alphabetic_words_frac
        return Verdict(RULE, "too_few_alphabetic_words", alphabetic, threshold)
    found = len(STOP_WORDS.intersection(word.lower() for word in words))
    if found < rules.min_stop_words:
        return Verdict(RULE, "too_few_stop_words", found, rules.min_stop_words)
    return None
