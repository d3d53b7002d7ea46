"""Text out of HTML: a page's main text, its code as it is, its formulas as TeX."""

import re
from collections.abc import Sequence

from selectolax.lexbor import LexborHTMLParser

from k2core.clean.blocks import Block, read_blocks
from k2core.clean.form import normalise
from k2core.clean.main_text import choose_blocks
from k2core.clean.nesting import flatten


def extract_text(html: str) -> str:
    """The main text of a page: headings kept, navigation and hidden text left out."""
    return normalise(extract_raw(html))


def extract_raw(html: str) -> str:
    """The same in no form yet."""
    return join_blocks(choose_blocks(find_blocks(html)))


def find_blocks(html: str) -> list[Block]:
    """All that a reader sees of a page."""
    body = LexborHTMLParser(flatten(html.encode("utf-8", "ignore"))).body
    return read_blocks(body) if body is not None else []


def join_blocks(blocks: Sequence[Block]) -> str:
    """A line an item of a list, an empty line between other blocks."""
    parts: list[str] = []
    last = ""
    for block in blocks:
        text = block.text.strip("\n") if block.tag == "pre" else _tidy(block.text)
        parts += ["\n" if block.tag == last == "li" else "\n\n", text]
        last = block.tag
    text = "".join(parts[1:])
    return re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text


def _tidy(text: str) -> str:
    """No space that only the source's layout put there."""
    if "\n" not in text:
        return text.strip()
    return "\n".join(line.strip() for line in text.strip().split("\n"))
