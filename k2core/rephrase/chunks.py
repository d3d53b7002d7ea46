"""Text cut where sections, sentences and, at need, clauses end."""

import re
from collections.abc import Callable
from typing import NamedTuple

_END = re.compile(
    r"(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)(?<!\bvs\.)"
    r"(?:(?<=[.!?])|(?<=[.!?][\"”)]))\s+(?=[A-Z\"“(\d])|\n+"
)
_HEADING = re.compile(r"#{1,6} \S|[A-Z0-9][^.!?:;\n]{0,78}$")
_PAUSES = (r"(?<=[;:])\s+", r"(?<=,)\s+", r"\s+")
"""Where a sentence too long for a chunk is cut: at a clause, at a comma, between words."""


def split_sections(text: str) -> list[str]:
    """Parts that begin with a heading: a Markdown one, or a short line of its own.

    A heading stays with what it heads; a heading at the very end belongs to the part before.
    """
    sections: list[list[str]] = []
    blocks = [block for block in re.split(r"\n\s*\n", text) if block.strip()]
    for number, block in enumerate(blocks):
        heads = _HEADING.match(block.strip()) and number + 1 < len(blocks)
        if not sections or (heads and not _HEADING.match(sections[-1][-1].strip())):
            sections.append([])
        sections[-1].append(block)
    return ["\n\n".join(blocks) for blocks in sections]


class Headed(NamedTuple):
    """A section."""

    heading: str
    """Empty where it has none."""
    body: str


def split_heading(section: str) -> Headed:
    """A section's heading, and the rest."""
    first, *rest = re.split(r"\n\s*\n", section.strip(), maxsplit=1)
    if rest and _HEADING.fullmatch(first.strip()):
        return Headed(first.strip(), rest[0])
    return Headed("", section)


def split_sentences(text: str) -> list[str]:
    """Sentences and lines, without the white space between them."""
    return [part for piece in _END.split(text) if (part := piece.strip())]


def split_chunks(text: str, max_tokens: int, count: Callable[[str], int]) -> list[str]:
    """Whole sentences of one section, as many as fit `max_tokens`.

    A sentence that does not fit alone is cut at its pauses, so that every chunk fits.

    Args:
        text: what to cut.
        max_tokens: size of a chunk, the spaces between its sentences not counted.
        count: tokens of a text.
    """
    chunks: list[list[str]] = []
    used = 0
    for sentence in split_sentences(text):
        for part in _split_long(sentence, max_tokens, count):
            tokens = count(part)
            if not chunks or used + tokens > max_tokens:
                chunks.append([])
                used = 0
            chunks[-1].append(part)
            used += tokens
    return [" ".join(chunk) for chunk in chunks]


def _split_long(sentence: str, max_tokens: int, count: Callable[[str], int]) -> list[str]:
    """Halve a sentence, at the pause nearest its middle, until every part fits."""
    if count(sentence) <= max_tokens or len(sentence) < 2:
        return [sentence]
    half = len(sentence) / 2
    for pause in _PAUSES:
        found = [m for m in re.finditer(pause, sentence) if abs(m.start() - half) <= half / 2]
        if found:
            best = min(found, key=lambda m: abs(m.start() - half))
            parts = [sentence[: best.start()], sentence[best.end() :]]
            break
    else:
        parts = [sentence[: len(sentence) // 2], sentence[len(sentence) // 2 :]]
    return [piece for part in parts for piece in _split_long(part, max_tokens, count)]
