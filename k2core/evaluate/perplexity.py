"""Perplexity on held-out text, in windows that the model can hold."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from k2core.engines.protocol import Engine
from schemas.evaluate import Perplexity


class HeldOutText(NamedTuple):
    """One domain's text, ready to be scored."""

    windows: list[list[int]]
    """Consecutive windows share a token: the last of one is the first, unscored, of the next."""
    num_bytes: int
    """UTF-8 bytes of the tokens that are scored."""

    @property
    def num_tokens(self) -> int:
        """Tokens that are scored."""
        return sum(len(window) - 1 for window in self.windows)


def cut_windows(
    documents: Iterable[Iterable[int]],
    length: int,
    max_tokens: int,
    decode: Callable[[Sequence[int]], str],
) -> HeldOutText:
    """Windows of at most `length` tokens from the first documents, `max_tokens` scored in all."""
    windows: list[list[int]] = []
    num_bytes, left = 0, max_tokens
    for document in documents:
        tokens = [int(token) for token in document]
        for start in range(0, len(tokens) - 1, length - 1):
            window = tokens[start : start + min(length, left + 1)]
            if len(window) < 2 or left <= 0:
                break
            windows.append(window)
            num_bytes += len(decode(window[1:]).encode())
            left -= len(window) - 1
        if left <= 0:
            break
    return HeldOutText(windows, num_bytes)


def measure_perplexity(engine: Engine, text: HeldOutText) -> Perplexity:
    """Score every window under the served weights.

    Raises:
        ValueError: there is nothing to score.
    """
    if not text.windows:
        raise ValueError("no held-out text: raise tokenize.heldout_frac or ingest more documents")
    total = -math.fsum(math.fsum(scores) for scores in engine.score(text.windows))
    return Perplexity(
        tokens=text.num_tokens,
        perplexity=math.exp(total / text.num_tokens),
        bits_per_byte=total / math.log(2) / max(1, text.num_bytes),
    )
