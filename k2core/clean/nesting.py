"""Pages nested without end, which HTML's parsers take quadratic time for."""

import re

import numpy as np

_DEEPEST = 256
"""Browsers stop at 512."""
_MANY = 2000
"""Open tags below which nesting costs nothing; most of them are `br`, `img` and the like."""
_NESTING = (
    "address|article|aside|blockquote|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption"
    "|figure|footer|form|header|hgroup|li|listing|main|math|menu|nav|ol|pre|search|section|svg"
    "|table|template|ul|object|applet|marquee"
)
_TAG = re.compile(rf"<(/?)(?:{_NESTING})\b[^<>]*>?".encode(), re.IGNORECASE)


def flatten(html: bytes) -> bytes:
    """The page without the tags of blocks below a depth that no reader's page has."""
    num = np.count_nonzero(np.frombuffer(html, np.uint8) == ord("<"))  # `count` takes longer
    if num < _MANY or num - 2 * html.count(b"</") < _MANY:
        return html
    parts: list[bytes] = []
    depth = done = 0
    for tag in _TAG.finditer(html):
        inner = depth > _DEEPEST
        depth = max(0, depth - 1) if tag[1] else depth + 1
        if inner and depth >= _DEEPEST:
            parts.append(html[done : tag.start()])
            done = tag.end()
    return b"".join([*parts, html[done:]]) if parts else html
