# ruff: noqa: RUF001 - signs that look alike are the matter here
"""The words of many texts at once: each distinct piece of text is split a single time."""

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from k2core.clean.signs import is_sign, split_signs
from k2core.clean.words import is_punctuation, split_piece

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's (arXiv:2112.11446, section A.1.1)."""
# What datatrove counts as a sign: a word of nothing else is no word for a length.
_SIGNS = frozenset(
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
) | {chr(code) for a, b in ((0, 9), (11, 13), (13, 32), (127, 160)) for code in range(a, b)}
_ENDS = frozenset("!.?։؟۔।॥။។៕᠃᠉‼‽⁇⁈⁉。﹒﹖﹗！．？｡")
_MAX_WORDS = 1 << 21
"""Distinct words in one table, so that two of them and a document fit into 64 bits."""

_MOST_CACHED = 100
"""Characters."""


class DistinctWords(NamedTuple):
    """Distinct words, V of them."""

    length_V: Ints
    """Characters."""
    is_word_V: Flags
    """Holds more than signs."""
    is_alphabetic_V: Flags
    """Holds a letter."""
    is_punctuation_V: Flags
    is_end_V: Flags
    """Ends a sentence."""
    stop_word_V: Ints
    """Which of STOP_WORDS, as a bit; 0 none."""


class EncodedTexts(NamedTuple):
    """Pieces of text (P of them) as words (T of them)."""

    words: DistinctWords
    ids_T: Ints
    """Rows of `words`."""
    piece_T: Ints
    """The piece that each word is of."""


def encode(pieces: pa.DictionaryArray, *, by_sign: bool = False) -> EncodedTexts:
    """Split pieces of text, which hold no spaces, into words; a table of its own each time.

    Args:
        pieces: of texts.
        by_sign: each sign of a script without spaces is a word.
    """
    split = _split_by_sign if by_sign else _split
    distinct = [split(piece) for piece in pieces.dictionary.to_pylist()]
    table: dict[str, int] = {}
    flat = [table.setdefault(word, len(table)) for words in distinct for word in words]
    if len(table) > _MAX_WORDS:
        raise ValueError(f"{len(table)} different words in one batch: more than {_MAX_WORDS}")
    sizes = np.fromiter(map(len, distinct), np.int64, len(distinct))
    starts = np.cumsum(sizes) - sizes
    codes_P = pieces.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    counts_P = sizes[codes_P]
    piece_T = np.repeat(np.arange(len(codes_P)), counts_P)
    within_T = np.arange(len(piece_T)) - np.repeat(np.cumsum(counts_P) - counts_P, counts_P)
    ids_T = np.array(flat, np.int64)[starts[codes_P][piece_T] + within_T]
    return EncodedTexts(_describe(list(table)), ids_T, piece_T)


_cached_split = functools.lru_cache(maxsize=1 << 18)(split_piece)


def _split(piece: str) -> list[str]:
    """Long pieces do not come again, and would fill the memory."""
    return _cached_split(piece) if len(piece) <= _MOST_CACHED else split_piece(piece)


def _split_by_sign(piece: str) -> list[str]:
    runs = ([run] if is_sign(run) else _split(run) for run in split_signs(piece))
    return [word for words in runs for word in words]


def _describe(words: list[str]) -> DistinctWords:
    rows = np.array([_features(word) for word in words], np.int64).reshape(-1, 6)
    flags = rows[:, 1:5].astype(bool).T
    return DistinctWords(rows[:, 0], flags[0], flags[1], flags[2], flags[3], rows[:, 5])


def _features(word: str) -> tuple[int, bool, bool, bool, bool, int]:
    return _cached_look(word) if len(word) <= _MOST_CACHED else _look_at(word)


def _look_at(word: str) -> tuple[int, bool, bool, bool, bool, int]:
    if word.isalpha() and word.isascii():
        stop = 1 << STOP_WORDS.index(word) if word in STOP_WORDS else 0
        return len(word), True, True, False, False, stop
    return (
        len(word),
        not _SIGNS.issuperset(word),
        any(character.isalpha() for character in word),
        is_punctuation(word),
        word in _ENDS,
        0,
    )


_cached_look = functools.lru_cache(maxsize=1 << 18)(_look_at)
