# ruff: noqa: RUF001 - signs that look alike are the matter here
"""The words of many texts at once: each distinct piece of text is split a single time."""

import itertools
from collections.abc import Sequence
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
_ASCII_PUNCTUATION = frozenset(filter(is_punctuation, map(chr, range(128))))
_STOPS = {word: 1 << place for place, word in enumerate(STOP_WORDS)}
_FLAGS = _WORD, _LETTER, _PUNCTUATION, _END = 1, 2, 4, 8
_MAX_WORDS = 1 << 21
"""Distinct words in one table, so that two of them and a document fit into 64 bits."""
_MOST_KEPT, _MOST_CHARACTERS = 1 << 19, 1 << 23
"""Words and pieces, and characters of these, that are known from one batch to the next."""


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
    """Split pieces of text, which hold no spaces, into words.

    Args:
        pieces: of texts.
        by_sign: each sign of a script without spaces is a word.

    Raises:
        ValueError: too many different words.
    """
    _table.make_room()
    rows = _table.look_up(pieces.dictionary.to_pylist(), by_sign=by_sign)
    if len(_table) > _MAX_WORDS:  # of other texts, maybe
        _table.clear()
        rows = _table.look_up(pieces.dictionary.to_pylist(), by_sign=by_sign)
    if len(_table) > _MAX_WORDS:
        raise ValueError(f"{len(_table)} different words in one batch: more than {_MAX_WORDS}")
    sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = np.fromiter(itertools.chain.from_iterable(rows), np.int64, int(sizes.sum()))
    starts = np.cumsum(sizes) - sizes
    codes_P = pieces.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    counts_P = sizes[codes_P]
    piece_T = np.repeat(np.arange(len(codes_P)), counts_P)
    # Of each word its place in `flat`: that of its piece's first, and on from there.
    shift_P = starts[codes_P] - (np.cumsum(counts_P) - counts_P)
    ids_T = flat[np.arange(len(piece_T)) + np.repeat(shift_P, counts_P)]
    return EncodedTexts(_table.describe(), ids_T, piece_T)


class _Table:
    """Words met lately, by number, and pieces as words: most come again in the next batch."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}
        self._pieces: dict[bool, dict[str, tuple[int, ...]]] = {False: {}, True: {}}
        self._looks_V = np.empty(0, np.int64)
        self._characters = 0

    def __len__(self) -> int:
        return len(self._words)

    def clear(self) -> None:
        """Forget all; what was described before stays as it is."""
        self.__init__()  # type: ignore[misc]

    def make_room(self) -> None:
        """Forget all if it is much."""
        num = len(self._words) + sum(map(len, self._pieces.values()))
        if num > _MOST_KEPT or self._characters > _MOST_CHARACTERS:
            self.clear()

    def look_up(self, pieces: Sequence[str], *, by_sign: bool) -> list[tuple[int, ...]]:
        """The words of each piece."""
        known = self._pieces[by_sign]
        split = _split_by_sign if by_sign else split_piece
        for piece in itertools.filterfalse(known.__contains__, pieces):
            known[piece] = self._number(split(piece))
            self._characters += len(piece)
        return list(map(known.__getitem__, pieces))

    def _number(self, words: Sequence[str]) -> tuple[int, ...]:
        table = self._words
        if len(words) == 1:
            return (table.setdefault(words[0], len(table)),)
        return tuple([table.setdefault(word, len(table)) for word in words])

    def describe(self) -> DistinctWords:
        """Every word's features."""
        fresh = itertools.islice(self._words, len(self._looks_V), None)
        looks = np.fromiter(map(_look_at, fresh), np.int64)
        if len(looks):
            self._looks_V = np.concatenate([self._looks_V, looks])
        looks_V = self._looks_V
        word_V, letter_V, sign_V, end_V = ((looks_V & flag) > 0 for flag in _FLAGS)
        return DistinctWords(looks_V >> 16, word_V, letter_V, sign_V, end_V, looks_V >> 4 & 0xFF)


_table = _Table()


def _split_by_sign(piece: str) -> list[str]:
    runs = ([run] if is_sign(run) else split_piece(run) for run in split_signs(piece))
    return [word for words in runs for word in words]


def _look_at(word: str) -> int:
    """Its length, 8 bits for stop words and 4 for what it holds."""
    if word.isascii():
        if word.isalpha():
            return len(word) << 16 | _STOPS.get(word, 0) << 4 | _WORD | _LETTER
        if word.lower() != word.upper():
            return len(word) << 16 | _WORD | _LETTER
        punctuation = _ASCII_PUNCTUATION.issuperset(word)
        letter = False
    else:
        punctuation = is_punctuation(word)
        letter = any(map(str.isalpha, word))
    is_word = letter or not _SIGNS.issuperset(word)
    look = len(word) << 16 | is_word * _WORD | letter * _LETTER
    return look | punctuation * _PUNCTUATION | (word in _ENDS) * _END
