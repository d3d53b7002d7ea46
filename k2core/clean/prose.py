# ruff: noqa: RUF001 - signs that look alike are the matter here
"""C4's rules by line and page, and FineWeb's own on what those leave, as datatrove counts.

Sources: arXiv:1910.10683, section 2.2; arXiv:2406.17557, section 3.6.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, divide
from k2core.clean.languages import adapt_c4, adapt_fineweb
from k2core.clean.vocabulary import Ints
from schemas.clean import C4, FineWeb

_CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"
_POLICIES = (
    b"terms of use", b"privacy policy", b"cookie policy", b"uses cookies", b"use of cookies",
    b"use cookies",
)  # fmt: skip
_C4_ENDS = (".", "?", "!", '"', "'")
_FULL_STOPS = tuple(".?!。？！．｡؟۔।॥։⁇⁈⁉။។")


class Lines(NamedTuple):
    """A batch's lines as a rule sees them."""

    starts_L: Ints
    ends_L: Ints
    left_L: NDArray[np.bool_]
    """Not removed so far."""


class Prose(NamedTuple):
    """What the rules say of a batch."""

    checks: list[Check]
    texts: pl.Series
    """Without the lines that C4's rules remove."""


def check_prose(batch: TextBatch, c4: C4 | None, fineweb: FineWeb | None) -> Prose:
    """The rules on every document; documents with citations are looked at without them."""
    c4 = c4 and adapt_c4(c4, batch.language)
    fineweb = fineweb and adapt_fineweb(fineweb, batch.language)
    if c4 is None:
        lines = Lines(batch.line_starts_L, batch.line_ends_L, np.ones(len(batch.line_ends_L), bool))
        return Prose(check_fineweb(batch, lines, fineweb) if fineweb else [], batch.texts)
    sizes_L, long_L = _piece_sizes(batch, c4)
    whole = _check(batch, *batch.content_L, sizes_L, long_L, c4, fineweb)
    cited_N = batch.texts.str.contains(_CITATION).to_numpy() & c4.remove_citations
    if not cited_N.any():
        return whole
    stripped = batch.texts.filter(cited_N).str.replace_all(r"(?m)^[^\S\n]+|[^\S\n]+$", "")
    part = TextBatch(stripped.str.replace_all(_CITATION, ""), batch.language)
    of_part = cited_N[batch.document_L]
    bounds = (part.line_starts_L, part.line_ends_L)
    found = _check(part, *bounds, sizes_L[of_part], long_L[of_part], c4, fineweb)
    for check, better in zip(whole.checks, found.checks, strict=True):
        check.measured_N[cited_N] = better.measured_N
    texts = whole.texts.scatter(np.flatnonzero(cited_N), found.texts)
    return Prose(whole.checks, texts)


def _piece_sizes(batch: TextBatch, rules: C4) -> tuple[Ints, NDArray[np.bool_]]:
    """Pieces between spaces of each line, and whether one of them is too long."""
    num = len(batch.line_ends_L)
    lengths_P = batch.characters_between(batch.piece_starts_P, batch.piece_ends_P)
    long_L = np.zeros(num, bool)
    long_L[batch.line_P[lengths_P > rules.max_word_length]] = True
    words = batch.line_T if batch.by_sign else batch.line_P
    return np.bincount(words, minlength=num), long_L


def _check(
    batch: TextBatch, starts_L: Ints, ends_L: Ints, sizes_L: Ints, long_L: NDArray[np.bool_],
    c4: C4, fineweb: FineWeb | None,
) -> Prose:  # fmt: skip
    left_L = ~long_L & (sizes_L >= c4.min_words_per_line)
    if c4.end_marks:
        marks = _C4_ENDS if batch.language == "en" else (*_C4_ENDS, *_FULL_STOPS, "”", "」", "»")
        ended_L = np.any([batch.ends_with(ends_L, mark) for mark in marks], axis=0)
        left_L &= ended_L & ~batch.ends_with(ends_L, "...")
    lorem_L = batch.lines_with(b"lorem ipsum") & left_L
    left_L &= ~batch.lines_with(b"javascript")
    curly_L = batch.lines_with(b"{", lower=False) & left_L
    for policy in _POLICIES:
        left_L &= ~batch.lines_with(policy)
    documents_L = batch.document_L
    sentences_N = batch.count_N(documents_L[left_L], count_sentences(batch)[left_L])
    checks = [
        Check("c4", "lorem_ipsum", batch.count_N(documents_L[lorem_L]).astype(float), 0),
        Check("c4", "curly_bracket", batch.count_N(documents_L[curly_L]).astype(float), 0),
        Check("c4", "too_few_sentences", sentences_N.astype(float), c4.min_sentences, floor=True),
    ]
    lines = Lines(starts_L, ends_L, left_L)
    if fineweb:
        checks += check_fineweb(batch, lines, fineweb)
    return Prose(checks, _join(batch, lines))


def _join(batch: TextBatch, lines: Lines) -> pl.Series:
    starts, ends = lines.starts_L[lines.left_L], lines.ends_L[lines.left_L]
    sizes_N = batch.count_N(batch.document_L[lines.left_L], ends - starts + 1)
    return pl.Series(batch.lines(starts, ends, sizes_N)).str.strip_chars()


def count_sentences(batch: TextBatch) -> Ints:
    """Sentences of each line: one begins at a word after a run of signs with an end mark in it."""
    words, ids_T, line_T = batch.words.words, batch.words.ids_T, batch.line_T
    end_T = words.is_end_V[ids_T]
    begins = np.flatnonzero(~words.is_punctuation_V[ids_T] & ~end_T)
    ends_before = np.concatenate([[0], np.cumsum(end_T)])
    num = len(batch.line_ends_L)
    # Marks before the line's first word count from the line's begin, not from the last line's word.
    first_T = np.searchsorted(line_T, np.arange(num))
    since = np.concatenate([[0], begins[:-1]]) if len(begins) else begins
    since = np.maximum(since, first_T[line_T[begins]])
    new = ends_before[begins] > ends_before[since]
    filled_L = np.bincount(line_T, minlength=num) > 0
    return np.bincount(line_T[begins[new]], minlength=num) + filled_L


def check_fineweb(batch: TextBatch, lines: Lines, rules: FineWeb) -> list[Check]:
    """FineWeb's own rules on the lines that are left."""
    starts_L, ends_L, left_L = lines
    filled_L = left_L & (ends_L > starts_L)
    at = np.flatnonzero(filled_L)
    documents, starts, ends = batch.document_L[at], starts_L[at], ends_L[at]
    lines_N = batch.count_N(documents)
    stopped = np.any([batch.ends_with(ends, mark) for mark in _FULL_STOPS], axis=0)
    lengths = batch.characters_between(starts, ends)
    short = lengths <= rules.short_line_characters
    again = batch.repeated(documents, starts, ends)
    characters_N = batch.count_N(documents, lengths)
    words_N = batch.count_N(batch.document_T[left_L[batch.line_T]])
    breaks_N = np.maximum(batch.count_N(batch.document_L[left_L]) - 1, 0)
    repeated_N = batch.count_N(documents[again], lengths[again])
    ended = divide(batch.count_N(documents[stopped]), lines_N)
    few, most = rules.min_ended_lines_frac, rules.max_short_lines_frac
    return [
        Check("fineweb", "no_lines", lines_N.astype(float), 1, floor=True),
        Check("fineweb", "too_few_ended_lines", ended, few, floor=True),
        Check("fineweb", "short_lines", divide(batch.count_N(documents[short]), lines_N), most),
        Check(
            "fineweb",
            "duplicate_characters",
            divide(repeated_N, characters_N),
            rules.max_duplicate_line_characters_frac,
        ),
        Check("fineweb", "list_like", divide(breaks_N, words_N), rules.max_line_breaks_word_ratio),
    ]
