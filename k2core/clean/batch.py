"""Many documents as one buffer of bytes: lines, pieces between spaces and words, in numpy.

Shape suffixes: N documents, L lines, P pieces of text between spaces, T words, B bytes.
"""

import functools
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from k2core.clean.signs import UNSPACED
from k2core.clean.vocabulary import EncodedTexts, Ints, encode

Bytes = NDArray[np.uint8]
# Beyond ASCII, what Python calls space.
_WIDE_SPACE = "[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_WIDE_LINE = "[\u0085\u2028\u2029]"
_SPACES = bytes([9, 10, 11, 12, 13, 28, 29, 30, 31, 32])
_LINE_END = 10


@dataclass(frozen=True)
class TextBatch:
    """Texts with their structure, each part computed when it is first asked for."""

    texts: pl.Series
    language: str = "en"
    """Whose rules count their words."""

    @property
    def by_sign(self) -> bool:
        """Whether words are signs, for no space is between words."""
        return self.language in UNSPACED

    @functools.cached_property
    def _buffers(self) -> tuple[Bytes, Ints]:
        plain = self.texts.str.replace_all(_WIDE_SPACE, " ").str.replace_all(_WIDE_LINE, "\n")
        strings = (plain + "\n").rechunk().to_arrow().cast(pa.large_string())
        _, offsets, data = strings.buffers()
        ends = np.frombuffer(offsets, np.int64)[: len(strings) + 1]
        return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]], ends[1:] - ends[0]

    @property
    def bytes_B(self) -> Bytes:
        """The texts as UTF-8, a line feed after each; every kind of space is a plain one."""
        return self._buffers[0]

    @property
    def document_ends_N(self) -> Ints:
        """One past each document's line feed."""
        return self._buffers[1]

    @functools.cached_property
    def starts_B(self) -> NDArray[np.bool_]:
        """Bytes that begin a character."""
        starts_B: NDArray[np.bool_] = (self.bytes_B & 0xC0) != 0x80
        return starts_B

    @functools.cached_property
    def characters_N(self) -> Ints:
        """Characters of each text."""
        return self.texts.str.len_chars().to_numpy().astype(np.int64)

    @functools.cached_property
    def line_ends_L(self) -> Ints:
        """Where each line's line feed is; a document's last line has one too."""
        return np.flatnonzero(self.bytes_B == _LINE_END)

    @functools.cached_property
    def line_starts_L(self) -> Ints:
        """Where each line begins."""
        return np.concatenate([[0], self.line_ends_L[:-1] + 1]).astype(np.int64)

    @functools.cached_property
    def document_L(self) -> Ints:
        """The document of each line."""
        return np.searchsorted(self.document_ends_N, self.line_ends_L, "right")

    @functools.cached_property
    def lines_N(self) -> Ints:
        """Lines of each document, empty ones too."""
        return self.count_N(self.document_L)

    def count_N(self, document_X: Ints, weights_X: Ints | None = None) -> Ints:
        """How many things (or how much of their weight) each document has."""
        counts = np.bincount(document_X, weights_X, minlength=len(self.texts))
        return counts.astype(np.int64)

    @functools.cached_property
    def _characters_before_B(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.starts_B, dtype=np.int64)])

    def characters_between(self, starts: Ints, ends: Ints) -> Ints:
        """Characters in spans of bytes."""
        before = self._characters_before_B
        return before[ends] - before[starts]

    @functools.cached_property
    def _piece_bounds(self) -> tuple[Ints, Ints]:
        bytes_B = self.bytes_B
        # _SPACES, by comparisons: several times as quick as a look-up in a table.
        space = (bytes_B <= 32) & (bytes_B >= 9) & ((bytes_B <= 13) | (bytes_B >= 28))
        change = np.flatnonzero(np.diff(space, prepend=True))
        return change[0::2], change[1::2]

    @property
    def piece_starts_P(self) -> Ints:
        """Where pieces of text between spaces begin."""
        return self._piece_bounds[0]

    @property
    def piece_ends_P(self) -> Ints:
        """Where they end."""
        return self._piece_bounds[1]

    @functools.cached_property
    def _pieces_L(self) -> Ints:
        return np.diff(np.searchsorted(self.piece_starts_P, self.line_ends_L), prepend=0)

    @functools.cached_property
    def line_P(self) -> Ints:
        """The line of each piece."""
        return np.repeat(np.arange(len(self._pieces_L)), self._pieces_L)

    def spans(self, starts: Ints, ends: Ints) -> pa.LargeStringArray:
        """Ascending spans of bytes that do not overlap, as strings."""
        marks = np.zeros(len(self.bytes_B) + 1, np.int8)
        marks[starts] += 1
        marks[ends] -= 1
        data = self.bytes_B[np.cumsum(marks[:-1], dtype=np.int8).view(bool)]
        return _cut(data, ends - starts)

    def lines(self, starts: Ints, ends: Ints, sizes_N: Ints) -> pa.LargeStringArray:
        """Ascending spans in lines of their own, each with a line feed, as so many bytes each."""
        marks = np.zeros(len(self.bytes_B) + 1, np.int8)
        marks[starts] += 1
        marks[ends + 1] -= 1
        bytes_B = self.bytes_B.copy()
        bytes_B[ends] = _LINE_END  # after a span is its line feed, or space before that
        return _cut(bytes_B[np.cumsum(marks[:-1], dtype=np.int8).view(bool)], sizes_N)

    def repeated(self, document_X: Ints, starts_X: Ints, ends_X: Ints) -> NDArray[np.bool_]:
        """Which spans stood before in their document."""
        codes = self.spans(starts_X, ends_X).dictionary_encode().indices
        key = (document_X << 40) | codes.to_numpy(zero_copy_only=False).astype(np.int64)
        repeated_X = np.ones(len(key), bool)
        repeated_X[np.unique(key, return_index=True)[1]] = False
        return repeated_X

    @functools.cached_property
    def pieces(self) -> pa.DictionaryArray:
        """The pieces of text between spaces, each distinct one a single time."""
        data = self._raw.translate(None, _SPACES)  # what is left of all bytes is the pieces'
        return _cut(data, self.piece_ends_P - self.piece_starts_P).dictionary_encode()

    @functools.cached_property
    def document_P(self) -> Ints:
        """The document of each piece."""
        return self.document_L[self.line_P]

    @functools.cached_property
    def words(self) -> EncodedTexts:
        """The words of all documents in order."""
        return encode(self.pieces, by_sign=self.by_sign)

    @functools.cached_property
    def content_L(self) -> tuple[Ints, Ints]:
        """Where the lines' texts begin and end, without the space around; equal in a blank one."""
        counts = self._pieces_L
        after = np.cumsum(counts)
        blank = counts == 0
        last = len(self.piece_starts_P) - 1
        if last < 0:
            return self.line_starts_L, self.line_starts_L
        begins = self.piece_starts_P[np.minimum(after - counts, last)]
        ends = self.piece_ends_P[np.minimum(after, last + 1) - 1]
        return (
            np.where(blank, self.line_starts_L, begins),
            np.where(blank, self.line_starts_L, ends),
        )

    def starts_with(self, starts: Ints, text: str) -> NDArray[np.bool_]:
        """Whether a text stands at these places."""
        return self._holds(starts, text.encode())

    def ends_with(self, ends: Ints, text: str) -> NDArray[np.bool_]:
        """Whether a text stands before these places."""
        return self._holds(ends - len(text.encode()), text.encode())

    def _holds(self, places: Ints, text: bytes) -> NDArray[np.bool_]:
        inside = (places >= 0) & (places + len(text) <= len(self.bytes_B))
        found = inside.copy()
        for offset, byte in enumerate(text):
            found[found] = self.bytes_B[places[found] + offset] == byte
        return found

    def lines_with(self, text: bytes, lower: bool = True) -> NDArray[np.bool_]:
        """Lines that hold an ASCII text, by default in any case."""
        data = self._lower if lower else self._raw
        found = np.zeros(len(self.line_ends_L), bool)
        at = data.find(text)
        while at >= 0:
            line = int(np.searchsorted(self.line_ends_L, at))
            found[line] = True
            at = data.find(text, int(self.line_ends_L[line]))
        return found

    @functools.cached_property
    def _raw(self) -> bytes:
        return self.bytes_B.tobytes()

    @functools.cached_property
    def _lower(self) -> bytes:
        return self._raw.lower()

    @functools.cached_property
    def line_T(self) -> Ints:
        """The line of each word."""
        return self.line_P[self.words.piece_T]

    @functools.cached_property
    def document_T(self) -> Ints:
        """The document of each word."""
        return self.document_L[self.line_T]

    @functools.cached_property
    def words_N(self) -> Ints:
        """Words of each document."""
        return self.count_N(self.document_T)


def _cut(data: Bytes | bytes, lengths_X: Ints) -> pa.LargeStringArray:
    """Strings of these lengths, one after another."""
    offsets = np.concatenate([[0], np.cumsum(lengths_X)]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(lengths_X), buffers)
