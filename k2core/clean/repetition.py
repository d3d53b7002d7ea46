"""Gopher's repetition filter (arXiv:2112.11446, table A1), counted as datatrove counts."""

import numpy as np

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, divide
from k2core.clean.ngrams import find_repeated, most_frequent, repeated_characters
from k2core.clean.vocabulary import Ints
from schemas.clean import Repetition

RULE = "gopher_repetition"


def check_repetition(batch: TextBatch, rules: Repetition) -> list[Check]:
    """Table A1's repetition rules in order, on every document."""
    starts_L, ends_L = batch.line_starts_L, batch.line_ends_L
    filled_L = ends_L > starts_L
    # A paragraph begins where a line follows an empty one, or a document's begin.
    lines = np.flatnonzero(filled_L)
    new = np.diff(lines, prepend=-2) > 1
    new |= np.diff(batch.document_L[lines], prepend=-1) > 0
    last = np.append(new[1:], True) if len(new) else new
    paragraphs = _check_spans(
        batch, "paragraph", starts_L[lines[new]], ends_L[lines[last]], batch.document_L[lines[new]],
        rules.max_duplicate_paragraphs_frac, rules.max_duplicate_paragraph_characters_frac,
    )  # fmt: skip
    return [
        *paragraphs,
        *_check_spans(
            batch, "line", starts_L[lines], ends_L[lines], batch.document_L[lines],
            rules.max_duplicate_lines_frac, rules.max_duplicate_line_characters_frac,
        ),
        *_check_ngrams(batch, rules),
    ]  # fmt: skip


def _check_spans(
    batch: TextBatch, name: str, starts: Ints, ends: Ints, documents: Ints,
    max_frac: float, max_characters_frac: float,
) -> list[Check]:  # fmt: skip
    again = batch.repeated(documents, starts, ends)
    frac = divide(batch.count_N(documents[again]), batch.count_N(documents))
    lengths = batch.characters_between(starts[again], ends[again])
    characters = divide(batch.count_N(documents[again], lengths), batch.characters_N)
    return [
        Check(RULE, f"duplicate_{name}s", frac, max_frac),
        Check(RULE, f"duplicate_{name}_characters", characters, max_characters_frac),
    ]


def _check_ngrams(batch: TextBatch, rules: Repetition) -> list[Check]:
    ids_T, document_T, num = batch.words.ids_T, batch.document_T, len(batch.texts)
    length_T = batch.words.words.length_V[ids_T]
    before_T = np.concatenate([[0], np.cumsum(length_T)])
    tops = dict(enumerate(rules.max_top_ngram_frac, start=2))
    duplicates = dict(enumerate(rules.max_duplicate_ngrams_frac, start=5))
    checks = []
    signs, space = (2, 0) if batch.by_sign else (1, 1)  # in a word, and between words
    for found in find_repeated(ids_T, document_T, signs * max([*tops, *duplicates, 2])):
        n, odd = divmod(found.n, signs)
        if odd:
            continue
        if n in tops:
            count_N, place_N = most_frequent(found, document_T, num)
            # The n-gram's words and the spaces between them.
            end_N = np.minimum(place_N + found.n, len(ids_T))
            size_N = before_T[end_N] - before_T[np.minimum(place_N, len(ids_T))] + space * (n - 1)
            frac = divide(count_N * size_N, batch.characters_N)
            checks.append(Check(RULE, f"top_{n}_gram", frac, tops[n]))
        if n in duplicates:
            characters_N = repeated_characters(found, before_T, document_T, num)
            frac = divide(characters_N, batch.characters_N)
            checks.append(Check(RULE, f"duplicate_{n}_grams", frac, duplicates[n]))
    return checks
