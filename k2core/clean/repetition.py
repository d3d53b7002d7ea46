"""Gopher's repetition filter (arXiv:2112.11446, table A1), counted as datatrove counts."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from k2core.clean.verdict import Verdict
from schemas.clean import Repetition

RULE = "gopher_repetition"
_PARAGRAPH_END = re.compile(r"\n{2,}")
_LINE_END = re.compile(r"\n+")


class Repeats(NamedTuple):
    """How much of a list occurred before in it."""

    items_frac: float
    characters_frac: float


def check_repetition(text: str, rules: Repetition) -> Verdict | None:
    """The first of table A1's repetition rules that the text breaks."""
    paragraphs = count_repeats(_PARAGRAPH_END.split(text.strip()), len(text))
    lines = count_repeats(_LINE_END.split(text.strip()), len(text))
    limits = (
        ("duplicate_paragraphs", paragraphs.items_frac, rules.max_duplicate_paragraphs_frac),
        (
            "duplicate_paragraph_characters",
            paragraphs.characters_frac,
            rules.max_duplicate_paragraph_characters_frac,
        ),
        ("duplicate_lines", lines.items_frac, rules.max_duplicate_lines_frac),
        (
            "duplicate_line_characters",
            lines.characters_frac,
            rules.max_duplicate_line_characters_frac,
        ),
    )
    for reason, measured, limit in limits:
        if measured > limit:
            return Verdict(RULE, reason, measured, limit)
    return _check_ngrams(text, rules)


def _check_ngrams(text: str, rules: Repetition) -> Verdict | None:
    words = text.split()
    for n, limit in enumerate(rules.max_top_ngram_frac, start=2):
        if (measured := top_ngram_frac(words, n, len(text))) > limit:
            return Verdict(RULE, f"top_{n}_gram", measured, limit)
    for n, limit in enumerate(rules.max_duplicate_ngrams_frac, start=5):
        measured = duplicate_ngrams_frac(words, n, len(text))
        if measured > limit:
            return Verdict(RULE, f"duplicate_{n}_grams", measured, limit)
        if not measured:
            return None  # Without a repeated n-gram there is no longer one.
    return None


def count_repeats(items: Sequence[str], num_characters: int) -> Repeats:
    """Shares of the items, and of the text's characters, that occurred before."""
    seen: set[str] = set()
    repeated = characters = 0
    for item in items:
        if item in seen:
            repeated += 1
            characters += len(item)
        seen.add(item)
    return Repeats(repeated / max(1, len(items)), characters / max(1, num_characters))


def top_ngram_frac(words: Sequence[str], n: int, num_characters: int) -> float:
    """Share of the text's characters in its most frequent n-gram; 0 if none comes twice."""
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    if not counts:
        return 0.0
    # Of equally frequent ones the longest, so that the order of words does not decide.
    count, size = max((count, sum(map(len, gram)) + n - 1) for gram, count in counts.items())
    return count * size / max(1, num_characters) if count > 1 else 0.0


def duplicate_ngrams_frac(words: Sequence[str], n: int, num_characters: int) -> float:
    """Share of the text's characters in n-grams that occurred before, none counted twice."""
    seen: set[tuple[str, ...]] = set()
    repeated = start = 0
    while start + n <= len(words):
        gram = tuple(words[start : start + n])
        if gram in seen:
            repeated += sum(map(len, gram))
            start += n
        else:
            seen.add(gram)
            start += 1
    return repeated / max(1, num_characters)
