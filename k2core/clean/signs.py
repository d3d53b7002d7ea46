"""Scripts that put no space between words, and texts in them sign by sign."""

import re
import unicodedata
from collections.abc import Iterator

UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo"})
"""Languages whose script puts no space between words."""
_UNSPACED_SIGNS = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def split_signs(piece: str) -> Iterator[str]:
    """Runs of a piece of text: a sign of an unspaced script with its marks, or what is between."""
    start = 0
    for found in _UNSPACED_SIGNS.finditer(piece):
        if found.start() < start:
            continue  # a mark of the sign before
        if found.start() > start:
            yield piece[start : found.start()]
        start = found.end()
        while start < len(piece) and unicodedata.category(piece[start])[0] == "M":
            start += 1
        yield piece[found.start() : start]
    if start < len(piece):
        yield piece[start:]


def is_sign(run: str) -> bool:
    """Whether a run of `split_signs` is a sign."""
    return _UNSPACED_SIGNS.match(run) is not None
