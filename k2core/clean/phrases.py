"""Which of many texts hold one of some phrases, word after word; in numpy.

Shape suffixes: N texts, W words.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.shingles import Hashes, find_words, hash_words

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_TABLE_BITS = 20


class PhraseFilter:
    """Phrases by their number of words, as 64-bit hashes that grow word by word."""

    def __init__(self, phrases: Sequence[Sequence[str]]) -> None:
        """Hash them; a phrase without words is held by every text."""
        by_size: dict[int, set[str]] = defaultdict(set)
        for phrase in phrases:
            by_size[len(phrase)].add(" ".join(phrase))
        self._every = 0 in by_size
        self._keys: dict[int, Hashes] = {}
        self._tables: dict[int, NDArray[np.bool_]] = {}
        for size in sorted(by_size.keys() - {0}):
            words = find_words(pl.Series(sorted(by_size[size])))
            hashes = hash_words(words).reshape(-1, size)
            grown = np.zeros(len(hashes), np.uint64)
            for word in hashes.T:
                grown = grown * _FACTOR + word
            self._keys[size] = np.sort(grown)
            self._tables[size] = np.zeros(1 << _TABLE_BITS, bool)
            self._tables[size][_place(grown)] = True

    def flag(self, texts: pl.Series) -> NDArray[np.bool_]:
        """Which texts hold one, (N,); what stands between the words does not matter."""
        found_N = np.full(len(texts), self._every)
        if self._every or not self._keys or not len(texts):
            return found_N
        words = find_words(texts)
        hashes_W = hash_words(words)
        text_W = np.repeat(np.arange(len(texts)), words.counts_N)
        grown = np.zeros(len(hashes_W), np.uint64)
        for size in range(1, min(max(self._keys), len(hashes_W)) + 1):
            grown = grown[: len(hashes_W) - size + 1] * _FACTOR + hashes_W[size - 1 :]
            if size not in self._keys:
                continue
            at = np.flatnonzero(self._tables[size][_place(grown)])
            at = at[np.isin(grown[at], self._keys[size])]
            found_N[text_W[at[text_W[at] == text_W[at + size - 1]]]] = True
        return found_N


def _place(hashes: Hashes) -> Hashes:
    return hashes >> np.uint64(64 - _TABLE_BITS)
