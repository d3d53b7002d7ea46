"""Exact and near duplicates: of equal documents the first in the corpus stays.

Signatures are compared with kept documents only, so that a second pass drops nothing more.
"""

import hashlib
import re
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from k2core.clean.verdict import Verdict
from schemas.clean import Deduplication

_WORD = re.compile(r"\w+")
_SEED = 1


class Deduplicator:
    """What was kept so far: digests, signatures and the bands that lead to them."""

    def __init__(self, config: Deduplication) -> None:
        self._config = config
        self._digests: set[bytes] = set()
        self._signatures: list[NDArray[np.uint32]] = []
        self._bands: dict[bytes, list[int]] = defaultdict(list)

    def check(self, text: str, near: bool) -> Verdict | None:
        """The verdict on the next document; one that is kept is remembered."""
        digest = hashlib.sha256(text.encode()).digest()
        if digest in self._digests:
            return Verdict("deduplication", "exact_duplicate", 1.0, 1.0)
        if near and (verdict := self._check_near(text)):
            return verdict
        self._digests.add(digest)
        return None

    def _check_near(self, text: str) -> Verdict | None:
        signature = sign(text, self._config)
        rows = self._config.num_rows
        keys = [
            b"%d:" % band + signature[band * rows : (band + 1) * rows].tobytes()
            for band in range(self._config.num_bands)
        ]
        alike = {number for key in keys for number in self._bands.get(key, ())}
        # Equal hashes at a position are an unbiased estimate of the Jaccard similarity.
        similar = [float((self._signatures[number] == signature).mean()) for number in alike]
        if similar and max(similar) >= self._config.min_similarity:
            threshold = self._config.min_similarity
            return Verdict("deduplication", "near_duplicate", max(similar), threshold)
        for key in keys:
            self._bands[key].append(len(self._signatures))
        self._signatures.append(signature)
        return None


def sign(text: str, config: Deduplication) -> NDArray[np.uint32]:
    """MinHash signature of the text's word n-grams; a shorter text is one shingle."""
    words = _WORD.findall(text.lower())
    last = max(1, len(words) - config.ngram + 1)
    shingles = {" ".join(words[start : start + config.ngram]) for start in range(last)}
    minhash = RMinHash(num_perm=config.num_bands * config.num_rows, seed=_SEED)
    minhash.update(list(shingles))
    return np.array(minhash.digest(), dtype=np.uint32)
