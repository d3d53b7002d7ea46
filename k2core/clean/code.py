"""BigCode's rules for files of code, on a batch of them (sources: `schemas.selection.CodeRules`).

A rule that is for other languages measures NaN on a file, which breaks nothing and is written as
null. Lengths are in characters.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, Floats, divide
from k2core.clean.vocabulary import Flags, Ints
from schemas.selection import CodeRules

RULE = "code"
_XML = "<?xml version="
_ENCODED = (
    r"[a-zA-Z0-9+/\n=]{64,}",  # base64
    r"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}",  # bytes in hexadecimal
    r"(?:\\u[0-9a-fA-F]{4}){8,}",  # Unicode escapes
)
"""StarCoder2's expressions (arXiv:2402.19173, section 2.4)."""
_TAKEN = "\x01"
"""Stands for an encoded run that was counted; no text holds it."""


class CodeOrigin(NamedTuple):
    """Where a document is from."""

    source: str
    path: str


def ending_of(path: str) -> str:
    """A file name's ending in lower case without its dot; empty if it has none."""
    name = path.split("#")[0].rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


def check_code(batch: TextBatch, origins: Sequence[CodeOrigin], rules: CodeRules) -> list[Check]:
    """All rules in order, on every file."""
    endings = [ending_of(origin.path) for origin in origins]
    judged_N = np.array([each.source not in rules.sources_left_out for each in origins], bool)

    def among(names: Collection[str]) -> Flags:
        return np.array([ending in names for ending in endings], bool)

    alphabetic_N, numeric_N = count_characters(batch)
    letters_N = divide(alphabetic_N, batch.characters_N)
    either_N = divide(alphabetic_N + numeric_N, batch.characters_N)
    letters_there_N = _only(~among(rules.symbolic_endings), letters_N)
    checks = [
        *_check_lines(batch, ~among(rules.long_line_endings), rules),
        *_check_marks(batch, ~among(rules.xml_endings), rules),
        Check(RULE, "few_letters_and_digits", either_N, rules.min_alphanumeric_frac, floor=True),
        Check(RULE, "few_letters", letters_there_N, rules.min_alphabetic_frac, floor=True),
        *_check_encoded(batch, rules),
        *_check_html(batch, among(rules.html_endings), rules),
        *_check_data(batch, letters_N, among(rules.data_endings), rules),
    ]
    return [check._replace(measured_N=_only(judged_N, check.measured_N)) for check in checks]


def _check_lines(batch: TextBatch, short_N: Flags, rules: CodeRules) -> list[Check]:
    lengths_L = batch.characters_between(batch.line_starts_L, batch.line_ends_L)
    longest_N = np.zeros(len(batch.texts), np.int64)
    np.maximum.at(longest_N, batch.document_L, lengths_L)
    mean_N = divide(batch.count_N(batch.document_L, lengths_L), batch.lines_N)
    return [
        Check(RULE, "too_many_lines", batch.lines_N.astype(float), rules.max_lines),
        Check(RULE, "long_line", _only(short_N, longest_N.astype(float)), rules.max_line_length),
        Check(RULE, "long_lines", _only(short_N, mean_N), rules.max_mean_line_length),
    ]


def _check_marks(batch: TextBatch, plain_N: Flags, rules: CodeRules) -> list[Check]:
    head = (batch.texts + "\n").str.extract(rf"^((?:[^\n]*\n){{0,{rules.generated_lines}}})")
    marks = [mark.lower() for mark in rules.generated_marks]
    found_N = head.str.to_lowercase().str.extract_many(marks, overlapping=True).list.len()
    xml_N = batch.texts.str.slice(0, rules.xml_characters).str.contains(_XML, literal=True)
    return [
        Check(RULE, "generated", found_N.to_numpy().astype(float), 0),
        Check(RULE, "xml", _only(plain_N, xml_N.to_numpy().astype(float)), 0),
    ]


def _check_encoded(batch: TextBatch, rules: CodeRules) -> list[Check]:
    longest_N, taken_N = np.zeros((2, len(batch.texts)), np.int64)
    left = batch.texts.clone()  # `scatter` works in place.
    for pattern in _ENCODED:
        some_N = left.str.contains(pattern).to_numpy()
        if not some_N.any():
            continue
        places = np.flatnonzero(some_N)
        part = left.gather(places)
        runs = part.str.extract_all(pattern).list.eval(pl.element().str.len_chars())
        np.maximum.at(longest_N, places, runs.list.max().to_numpy().astype(np.int64))
        np.add.at(taken_N, places, runs.list.sum().to_numpy().astype(np.int64))
        # Taken out, so that no character counts twice.
        left = left.scatter(places, part.str.replace_all(pattern, _TAKEN))
    share_N = divide(taken_N, batch.characters_N)
    return [
        Check(RULE, "encoded_run", longest_N.astype(float), rules.max_encoded_characters),
        Check(RULE, "encoded_share", share_N, rules.max_encoded_frac),
    ]


def _check_html(batch: TextBatch, pages_N: Flags, rules: CodeRules) -> list[Check]:
    seen_N = np.full(len(batch.texts), np.nan)
    places = np.flatnonzero(pages_N)
    seen_N[places] = [_count_seen(text) for text in batch.texts.gather(places)]
    share_N = seen_N / np.maximum(1, batch.characters_N)
    few = rules.min_html_text_characters
    return [
        Check(RULE, "html_little_text", seen_N, few, floor=True),
        Check(RULE, "html_mostly_tags", share_N, rules.min_html_text_frac, floor=True),
    ]


def _count_seen(html: str) -> int:
    tree = LexborHTMLParser(html)
    tree.strip_tags(["script", "style"])
    return len(" ".join((tree.body.text() if tree.body else "").split()))


def _check_data(
    batch: TextBatch, letters_N: Floats, data_N: Flags, rules: CodeRules
) -> list[Check]:
    characters_N = _only(data_N, batch.characters_N.astype(float))
    lines_N = _only(data_N, batch.lines_N.astype(float))
    few, many = rules.min_data_characters, rules.max_data_characters
    least = rules.min_data_alphabetic_frac
    return [
        Check(RULE, "data_too_short", characters_N, few, floor=True),
        Check(RULE, "data_too_long", characters_N, many),
        Check(RULE, "data_few_letters", _only(data_N, letters_N), least, floor=True),
        Check(RULE, "data_too_many_lines", lines_N, rules.max_data_lines),
    ]


_LETTER, _DIGIT = (
    np.array([test(chr(code)) for code in range(128)] + [False] * 128, np.uint8)
    for test in (str.isalpha, str.isdigit)
)


def count_characters(batch: TextBatch) -> tuple[Ints, Ints]:
    """Letters of each document, and its other characters that count as letters or digits.

    As Python's `isalpha` and `isalnum`.
    """
    counts = []
    starts_N = np.concatenate([[0], batch.document_ends_N[:-1]])
    for table, wide in ((_LETTER, r"\p{L}"), (_DIGIT, r"\p{N}")):
        plain_N = np.add.reduceat(table[batch.bytes_B], starts_N, dtype=np.int64)
        counts.append(plain_N + _count_wide(batch, wide))
    return counts[0], counts[1]


def _count_wide(batch: TextBatch, kind: str) -> Ints:
    """Characters of a kind beyond ASCII."""
    count_N = np.zeros(len(batch.texts), np.int64)
    size_N = batch.texts.str.len_bytes().to_numpy().astype(np.int64)
    places = np.flatnonzero(size_N > batch.characters_N)
    wide = batch.texts.gather(places).str.replace_all(r"[\x00-\x7f]+", "")
    count_N[places] = wide.str.count_matches(kind).to_numpy()
    return count_N


def _only(there_N: NDArray[np.bool_], measured_N: Floats) -> Floats:
    """The measures of some documents; NaN for the others."""
    return np.where(there_N, measured_N, np.nan)
