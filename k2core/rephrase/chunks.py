"""Text cut where sentences end."""

import re
from collections.abc import Callable

_END = re.compile(
    r"(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)(?<!\bvs\.)"
    r"(?:(?<=[.!?])|(?<=[.!?][\"”)]))\s+(?=[A-Z\"“(\d])|\n+"
)


def split_sentences(text: str) -> list[str]:
    """Sentences and lines, without the white space between them."""
    return [part for piece in _END.split(text) if (part := piece.strip())]


def split_chunks(text: str, max_tokens: int, count: Callable[[str], int]) -> list[str]:
    """Whole sentences, as many as fit `max_tokens`; a longer sentence is a chunk of its own.

    Args:
        text: what to cut.
        max_tokens: size of a chunk.
        count: tokens of a text.
    """
    chunks: list[list[str]] = []
    used = 0
    for sentence in split_sentences(text):
        tokens = count(sentence)
        if not chunks or used + tokens > max_tokens:
            chunks.append([])
            used = 0
        chunks[-1].append(sentence)
        used += tokens
    return [" ".join(chunk) for chunk in chunks]
