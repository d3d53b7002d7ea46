"""Text out of HTML by selectolax (Lexbor), and the form that all texts are brought to.

Trafilatura guesses a page's main text at ~27 ms a page; where pages mark it, reading the mark
takes under 1 ms and keeps code blocks whole.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from k2core.clean.form import normalise
from k2core.clean.nesting import flatten

_MAIN = ('[role="main"]', "main", "article", "body")
_LEFT_OUT = (
    "script", "style", "nav", "header", "footer", "aside", "form", "noscript", "svg", "iframe",
    "template", "button", "select", "a.headerlink", '[role="navigation"]', '[role="search"]',
)  # fmt: skip
_PARAGRAPHS = frozenset(
    {"p", "pre", "ul", "ol", "dl", "table", "blockquote", "section", "div", "article", "main"}
    | {f"h{level}" for level in range(1, 7)}
)
_CELLS = frozenset({"td", "th"})
_LINES = frozenset({"br", "tr", "dt", "dd", "caption", "hr"})
_SPACE = re.compile(r"\s+")


def extract_text(html: str) -> str:
    """The main text of a page: blocks apart, code as it is, navigation left out."""
    tree = LexborHTMLParser(flatten(html))
    for node in tree.css(", ".join(_LEFT_OUT)):
        node.decompose()
    root = next(filter(None, (tree.css_first(selector) for selector in _MAIN)), None)
    return normalise(_tidy("".join(_pieces(root)))) if root else ""


def _pieces(root: LexborNode) -> Iterator[str]:
    """Texts and line ends in reading order; a stack, for pages may be nested without end."""
    stack: list[tuple[LexborNode | str, bool]] = [(root, False)]
    while stack:
        node, preformatted = stack.pop()
        if isinstance(node, str):
            yield node
        elif node.is_text_node:
            text = node.text_content or ""
            yield text if preformatted else _SPACE.sub(" ", text)
        elif node.is_element_node:
            tag = node.tag or ""
            yield "\n- " if tag == "li" else "\n" if tag in _LINES else ""
            around = "\n\n" if tag in _PARAGRAPHS else ""
            yield around
            stack.append((" " if tag in _CELLS else around, False))
            inside = preformatted or tag == "pre"
            stack += [(child, inside) for child in reversed(list(node.iter(include_text=True)))]


def _tidy(text: str) -> str:
    """At most one empty line, and no space that only the source's layout put there."""
    lines = [line.rstrip() for line in text.split("\n")]
    # One leading space is what is left of a line break between tags; code is indented by more.
    lines = [line[1:] if line[:1] == " " and line[1:2] != " " else line for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
