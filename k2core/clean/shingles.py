"""Word n-grams of many texts as 64-bit hashes, in numpy.

A shingle is n words, lower case, joined by one space; a shorter text is one shingle. Its hash is
that of Rust's `rustc-hash` 2 (FxHasher over bytes), which rensa gives to strings: the signatures
are those that `RMinHash.update` makes of the strings, without one Python object a shingle.

Shape suffixes: N documents, B bytes, W words, S shingles.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Python's `\w` is this class (checked over all of Unicode 14); bytes from 0x80 on are then words'.
_WIDE_SIGNS = r"[^\x00-\x7f\p{L}\p{N}]+"
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]\p{M}*"
"""Signs of scripts that put no space between words: each is a word of its own here."""
_SPACE = 32
_TO_SPACE = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or chr(byte) == "_" else _SPACE
    for byte in range(256)
)
_MARGIN = 16
"""Bytes around the text, so that 8 can be read anywhere in it."""
_BLOCK = 8192
"""Shingles hashed together: their arrays stay in the second-level cache."""
_SEEDS = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))
_NO_COLLAPSE = np.uint64(0xA4093822299F31D0)
_FACTOR = np.uint64(0xF1357AEA2E62A9C5)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_LEFT, _RIGHT = np.uint64(26), np.uint64(38)


class TextWords(NamedTuple):
    """The words of N texts, in order."""

    bytes_B: NDArray[np.uint8]
    """Lower-case words with one space after each, and a margin on both sides."""
    starts_W: Ints
    """Where words begin, counted from the margin's end."""
    ends_W: Ints
    counts_N: Ints


class Shingles(NamedTuple):
    """All shingles of N texts, in order; a text repeats its own as often as they stand there."""

    hashes_S: Hashes
    offsets_N: Ints
    """Where each text's begin, and their number: N + 1 places."""


def hash_shingles(texts: pl.Series, ngram: int) -> Shingles:
    """The shingles of `ngram` words of every text; at least one each."""
    words = find_words(texts)
    shingles_N = np.maximum(words.counts_N - ngram + 1, 1)
    offsets_N = np.concatenate([[0], np.cumsum(shingles_N)]).astype(np.int64)
    # From a shingle's number to that of its first word, and on to its last.
    shift_N = np.cumsum(words.counts_N) - words.counts_N - offsets_N[:-1]
    further_N = np.minimum(words.counts_N, ngram) - 1
    starts = np.append(words.starts_W, 0)
    ends = np.append(words.ends_W, 0)
    hashes_S = np.empty(offsets_N[-1], np.uint64)
    for at in range(0, len(hashes_S), _BLOCK):
        stop = min(at + _BLOCK, len(hashes_S))
        first, last = np.searchsorted(offsets_N, (at, stop - 1), "right") - 1
        inside = np.diff(np.clip(offsets_N[first : last + 2], at, stop))
        text_S = np.repeat(np.arange(first, last + 1), inside)
        first_S = np.arange(at, stop) + shift_N[text_S]
        starts_S, further_S = starts[first_S], further_N[text_S]
        # A text without words is the empty shingle, wherever that may stand.
        ends_S = np.where(further_S < 0, starts_S, ends[first_S + further_S])
        hashes_S[at:stop] = _hash_spans(words.bytes_B, starts_S, ends_S)
    return Shingles(hashes_S, offsets_N)


def hash_words(words: TextWords) -> Hashes:
    """The hash of each word, (W,)."""
    hashes_W = np.empty(len(words.starts_W), np.uint64)
    for at in range(0, len(hashes_W), _BLOCK):
        block = slice(at, at + _BLOCK)
        spans = (words.starts_W[block], words.ends_W[block])
        hashes_W[block] = _hash_spans(words.bytes_B, *spans)
    return hashes_W


def find_words(texts: pl.Series) -> TextWords:
    """Split texts at whatever is no letter, digit or underscore, and around unspaced signs."""
    lower = texts.str.to_lowercase().str.replace_all(_UNSPACED, " ${0} ")
    lower = lower.str.replace_all(_WIDE_SIGNS, " ")
    strings = (lower + "\n").rechunk().to_arrow().cast(pa.large_string())
    _, offsets, data = strings.buffers()
    ends_N = np.frombuffer(offsets, np.int64)[: len(strings) + 1]
    raw = data[ends_N[0] : ends_N[-1]].to_pybytes().translate(_TO_SPACE)
    bytes_B = np.frombuffer(raw, np.uint8)
    word_B = bytes_B != _SPACE
    after_B = np.zeros(len(word_B), bool)
    np.greater(word_B[:-1], word_B[1:], out=after_B[1:])
    spaced = bytes_B[word_B | after_B]
    words_before_B = np.flatnonzero(after_B)
    ends_W = np.flatnonzero(spaced == _SPACE)
    starts_W = np.concatenate([[0], ends_W[:-1] + 1])[: len(ends_W)].astype(np.int64)
    # Every text ends in a line feed, so its last word's end lies within it.
    counts_N = np.diff(np.searchsorted(words_before_B, ends_N[1:] - ends_N[0]), prepend=0)
    margin = np.zeros(_MARGIN, np.uint8)
    return TextWords(np.concatenate([margin, spaced, margin]), starts_W, ends_W, counts_N)


def _hash_spans(bytes_B: NDArray[np.uint8], starts: Ints, ends: Ints) -> Hashes:
    """FxHasher's value of each span; spans are given without the margin."""
    begin, end = int(starts.min()), int(ends.max())
    eight = _read_eights(bytes_B[begin : end + 2 * _MARGIN])
    starts, ends = starts - begin + _MARGIN, ends - begin + _MARGIN
    lengths = ends - starts
    first = np.full(len(starts), _SEEDS[0])
    second = np.full(len(starts), _SEEDS[1])
    at = starts.copy()
    while len(rows := np.flatnonzero(ends - at > 16)):
        places = at[rows]
        mixed = fold_product(first[rows] ^ eight[places], _NO_COLLAPSE ^ eight[places + 8])
        first[rows], second[rows] = second[rows], mixed
        at[rows] += 16
    head, tail = eight[ends - 16], eight[ends - 8]
    if len(rows := np.flatnonzero(lengths <= 16)):
        head[rows], tail[rows] = _read_short(eight[starts[rows]], tail[rows], lengths[rows])
    mixed = fold_product(first ^ head, second ^ tail) ^ lengths.astype(np.uint64)
    value = mixed * _FACTOR
    return value << _LEFT | value >> _RIGHT


def _read_short(head: Hashes, tail: Hashes, lengths: Ints) -> tuple[Hashes, Hashes]:
    """What a span of at most 16 bytes gives: its ends, that overlap."""
    middle = lengths // 2
    byte = np.uint64(0xFF)
    shift = (8 * np.minimum(middle, 7)).astype(np.uint64)
    low_few = np.where(lengths > 0, head & byte, np.uint64(0))
    high_few = tail >> np.uint64(56) << np.uint64(8) | head >> shift & byte
    high_few = np.where(lengths > 0, high_few, np.uint64(0))
    low = np.where(lengths >= 8, head, np.where(lengths >= 4, head & _LOW, low_few))
    high = np.where(lengths >= 8, tail, np.where(lengths >= 4, tail >> _HALF, high_few))
    return low, high


def _read_eights(bytes_B: NDArray[np.uint8]) -> Hashes:
    """At each place the 8 bytes from there on, as a little-endian number."""
    rows = len(bytes_B) // 8
    eight = np.empty((rows, 8), np.uint64)
    padded = np.concatenate([bytes_B, np.zeros(8, np.uint8)])
    for shift in range(8):
        eight[:, shift] = padded[shift : shift + 8 * rows].view("<u8")
    return eight.reshape(-1)


def fold_product(a: Hashes, b: Hashes | np.uint64) -> Hashes:
    """The product's 128 bits, its halves joined by exclusive or."""
    a_low, a_high, b_low, b_high = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    low_high, high_low = a_low * b_high, a_high * b_low
    middle = (a_low * b_low >> _HALF) + (low_high & _LOW) + high_low
    folded: Hashes = a * b ^ (a_high * b_high + (low_high >> _HALF) + (middle >> _HALF))
    return folded
