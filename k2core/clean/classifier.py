"""A quality classifier of fastText's class (arXiv:1607.01759): hashed words and pairs, linear.

The mean over a document's words and pairs of neighbours of one weight each, and the softmax over
the two classes, which of two is the logistic function. fastText factors the weights into an
embedding and a matrix; for two classes that is the same family of functions. Words are what stands
between spaces, as there, in lower case and without outer signs.
"""

import json
import zlib
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Check, Floats
from k2core.clean.vocabulary import Ints

RULE = "classifier"
_PAIR = np.uint64(0x9E3779B97F4A7C15)
"""An odd constant (2^64 by the golden ratio) that spreads a pair's hash over all bits."""
_OUTER = ".,:;!?\"'()[]{}<>“”‘’…"
_MAX_HASHES = 1 << 18


class Features(NamedTuple):
    """Words and pairs of words of N documents, as buckets; X in all."""

    bucket_X: Ints
    document_X: Ints
    """Ascending in the words, then again in the pairs."""


def list_features(batch: TextBatch, num_buckets: int) -> Features:
    """The features of every document."""
    pieces, document_P = batch.pieces, batch.document_P
    hash_V = np.fromiter(map(_hashes.__getitem__, pieces.dictionary.to_pylist()), np.uint64)
    hash_P = hash_V[pieces.indices.to_numpy(zero_copy_only=False)]
    first = np.flatnonzero(document_P[1:] == document_P[:-1])
    pairs = ((hash_P[first] * _PAIR) ^ hash_P[first + 1]) * _PAIR >> np.uint64(24)
    bucket_X = np.concatenate([hash_P, pairs]) % np.uint64(num_buckets)
    return Features(bucket_X.astype(np.int64), np.concatenate([document_P, document_P[first]]))


def hash_word(piece: str) -> int:
    """The same on every machine, unlike Python's own."""
    return zlib.crc32(piece.lower().strip(_OUTER).encode())


class _Hashes(dict[str, int]):
    """Hashes of pieces met lately; a plain look-up, twice as quick as functools' caches."""

    def __missing__(self, piece: str) -> int:
        if len(self) >= _MAX_HASHES:
            self.clear()
        self[piece] = found = hash_word(piece)
        return found


_hashes = _Hashes()


class Scorer(NamedTuple):
    """A trained classifier."""

    weights_F: NDArray[np.float32]
    """A weight for each bucket."""
    bias: float
    threshold: float
    """The score below which a document goes."""
    domains: frozenset[str]
    """Whose documents it scores."""

    def score(self, batch: TextBatch) -> Floats:
        """The probability that each document is of the reference's kind, to six decimals."""
        return self.score_features(list_features(batch, len(self.weights_F)), len(batch.texts))

    def score_features(self, features: Features, num: int) -> Floats:
        """The same of `num` documents' features."""
        weights_X = self.weights_F[features.bucket_X]
        sum_N = np.bincount(features.document_X, weights_X, minlength=num)
        count_N = np.bincount(features.document_X, minlength=num)
        logit_N = self.bias + sum_N / np.maximum(1, count_N)
        # Rounded, so that the last bits of a sum are nobody's fate.
        score_N: Floats = (1 / (1 + np.exp(-np.clip(logit_N, -50, 50)))).round(6)
        return score_N

    def check(self, batch: TextBatch) -> Check:
        """The score of every document against the threshold."""
        return Check(RULE, "low_quality", self.score(batch), self.threshold, floor=True)

    def save(self, folder: Path) -> None:
        """Write `weights.npy` and `scorer.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "weights.npy", self.weights_F)
        about = {"bias": self.bias, "threshold": self.threshold, "domains": sorted(self.domains)}
        (folder / "scorer.json").write_text(json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        about = json.loads((folder / "scorer.json").read_bytes())
        weights_F = np.load(folder / "weights.npy")
        return cls(weights_F, about["bias"], about["threshold"], frozenset(about["domains"]))
