"""Gopher's quality filter (arXiv:2112.11446, table A1), counted as datatrove counts."""

import numpy as np

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, Floats, divide
from k2core.clean.languages import adapt_quality, count_stop_words
from k2core.clean.vocabulary import Ints
from schemas.clean import Quality

RULE = "gopher_quality"
_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


def check_quality(batch: TextBatch, rules: Quality) -> list[Check]:
    """Table A1's quality rules in order; bounds of lengths and stop words are the language's."""
    rules = adapt_quality(rules, batch.language)
    return _check_counts(batch, rules) + _check_lines(batch, rules) + _check_words(batch, rules)


def _check_counts(batch: TextBatch, rules: Quality) -> list[Check]:
    words, ids_T = batch.words.words, batch.words.ids_T
    counted_T = words.is_word_V[ids_T]
    num_N = batch.count_N(batch.document_T[counted_T])
    characters_N = batch.count_N(batch.document_T, words.length_V[ids_T] * counted_T)
    mean_N = divide(characters_N, num_N)
    hashes_N = _count(batch, "#")
    dots_N = _count(batch, _ELLIPSES[0]) + _count(batch, _ELLIPSES[1])
    most = rules.max_symbol_word_ratio
    return [
        Check(RULE, "too_few_words", num_N.astype(float), rules.min_words, floor=True),
        Check(RULE, "too_many_words", num_N.astype(float), rules.max_words),
        Check(RULE, "words_too_short", mean_N, rules.min_mean_word_length, floor=True),
        Check(RULE, "words_too_long", mean_N, rules.max_mean_word_length),
        Check(RULE, "too_many_hashes", divide(hashes_N, batch.words_N), most),
        Check(RULE, "too_many_ellipses", divide(dots_N, batch.words_N), most),
    ]


def _count(batch: TextBatch, sign: str) -> Ints:
    return batch.texts.str.count_matches(sign, literal=True).to_numpy().astype(np.int64)


def _check_lines(batch: TextBatch, rules: Quality) -> list[Check]:
    starts_L, ends_L = batch.content_L
    bullets_L = np.any([batch.starts_with(starts_L, sign) for sign in _BULLETS], axis=0)
    cut_L = np.any([batch.ends_with(ends_L, sign) for sign in _ELLIPSES], axis=0)
    # A blank line's place is its start: what stands there belongs to another line.
    filled_L = starts_L < ends_L
    bullets_N = batch.count_N(batch.document_L[bullets_L & filled_L])
    cut_N = batch.count_N(batch.document_L[cut_L & filled_L])
    lines_N = batch.lines_N
    return [
        Check(RULE, "too_many_bullets", divide(bullets_N, lines_N), rules.max_bullet_lines_frac),
        Check(RULE, "too_many_cut_lines", divide(cut_N, lines_N), rules.max_ellipsis_lines_frac),
    ]


def _check_words(batch: TextBatch, rules: Quality) -> list[Check]:
    words, ids_T = batch.words.words, batch.words.ids_T
    alphabetic_N = batch.count_N(batch.document_T[words.is_alphabetic_V[ids_T]])
    alphabetic = divide(alphabetic_N, batch.words_N)
    least = rules.min_alphabetic_words_frac
    checks = [Check(RULE, "too_few_alphabetic_words", alphabetic, least, floor=True)]
    stops_N = _count_stop_words(batch)
    if stops_N is not None:
        least = rules.min_stop_words
        checks.append(Check(RULE, "too_few_stop_words", stops_N, least, floor=True))
    return checks


def _count_stop_words(batch: TextBatch) -> Floats | None:
    """Different stop words of each document; none where its language has no list."""
    if batch.language != "en":
        return count_stop_words(batch.texts, batch.language)
    stops_T = batch.words.words.stop_word_V[batch.words.ids_T]
    places = np.flatnonzero(stops_T)
    found_N = np.zeros(len(batch.texts), np.int64)
    np.bitwise_or.at(found_N, batch.document_T[places], stops_T[places])
    return np.bitwise_count(found_N).astype(float)
