"""A page as blocks of text, each with what tells prose from the page's furniture.

One walk over the tree. What nobody sees is left out; formulas become TeX, `10<sup>5</sup>` is 10^5.
"""

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from selectolax.lexbor import LexborNode

_GONE = frozenset(
    {"script", "style", "noscript", "iframe", "template", "button", "select", "svg", "head",
     "object", "embed", "canvas", "audio", "video", "input", "textarea", "option", "dialog",
     "datalist", "map", "nav", "footer"}
)  # fmt: skip
_BLOCKS = frozenset(
    {"p", "pre", "ul", "ol", "dl", "table", "blockquote", "section", "div", "article", "main",
     "body", "form", "figure", "figcaption", "header", "footer", "nav", "aside", "fieldset",
     "address", "details", "summary", "center", "hgroup", "li"}
    | {f"h{level}" for level in range(1, 7)}
)  # fmt: skip
_TEXTS = frozenset(
    {"p", "pre", "blockquote", "ul", "ol", "li"} | {f"h{level}" for level in range(1, 7)}
)
"""Blocks whose parent is that of the blocks beside them."""
_LINES = frozenset({"br", "tr", "dt", "dd", "caption", "hr"})
_CELLS = frozenset({"td", "th"})
_FORMULAS = frozenset({"math", "sup", "sub"})
_VOID = frozenset({"area", "base", "col", "img", "link", "meta", "source", "track", "wbr"})
"""Elements without content; of those in other sets their place alone counts."""
_MAIN = frozenset({"article", "main"})
_ROLES = frozenset({"navigation", "search", "contentinfo", "menu", "dialog"})
_MOST_FURNITURE = 3
"""Elements of furniture around one that is not read any more."""
_SPACE = re.compile(r"\s+")
_BREAK = "\0"  # the parser leaves none in a text
_HIDING = frozenset({"hidden", "aria-hidden", "style"})
"""Attributes that may hide an element."""
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
_SIGNS = re.compile("katex-html|headerlink|MathJax")
"""Classes of formulas' second form, and of links to a heading itself."""
_FURNITURE = re.compile(
    r"nav|menu|foot|header|masthead|sidebar|side-|aside|share|social|comment|related|recommend"
    r"|promo|banner|advert|\bad-|-ad\b|\bads\b|sponsor|cookie|subscri|newsletter|signup|login"
    r"|breadcrumb|widget|popular|trending|tags?\b|byline|author|meta|caption|copyright|disqus|modal"
    r"|popup|pagination|toolbar|outbrain|taboola|teaser|more-|read-?more|rail|hidden|skip",
)
_PROSE = re.compile(r"article|body|content|entry|post|story|text|main|blog|prose|page-?text")
_RAISED = re.compile(r"[\d+\u2212-]{1,4}|[a-z]")


class Block(NamedTuple):
    """Text between two breaks of the page's layout."""

    text: str
    tag: str
    """What it stands in: the innermost block."""
    link_chars: int
    furniture: int
    """Elements around it whose name or class says that it is no prose."""
    prose: int
    """Elements around it whose name or class says that it is."""
    main: bool
    """Within `article` or `main`."""
    depth: int
    parent: int
    """Number of the element that holds the block: those of one text share it."""


class _Around(NamedTuple):
    """What is known of a node from the elements that it lies in."""

    tag: str = "body"
    pre: bool = False
    link: bool = False
    furniture: int = 0
    prose: int = 0
    main: bool = False
    depth: int = 0
    parent: int = 0


_around = functools.partial(tuple.__new__, _Around)
"""One of its fields, in a third of the time: a page has hundreds."""


class _Open:
    """The block that is being read."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.parts: list[str] = []
        self.links = 0
        self._around = _Around()

    def begin(self, around: _Around) -> None:
        """End the block, and begin the next."""
        if self.parts:
            self._end("".join(self.parts))
            self.parts.clear()
        self.links, self._around = 0, around

    def _end(self, text: str) -> None:
        if text.isspace() or not text:
            return
        a = self._around
        text = text if a.pre else " ".join(text.split())
        text = text.replace(_BREAK, "\n")
        text = text if a.pre else text.strip()
        if text.strip():
            text = f"- {text}" if a.tag == "li" else text
            self.blocks.append(
                Block(text, a.tag, self.links, a.furniture, a.prose, a.main, a.depth, a.parent)
            )


def read_blocks(root: LexborNode) -> list[Block]:
    """All blocks in reading order; a stack, for pages may be nested without end."""
    found, around = _Open(), _Around()
    parts, number = found.parts, 0
    node: LexborNode | None = root
    stack: list[tuple[LexborNode | None, _Around, str]] = []  # what follows an open element
    while node is not None or stack:
        if node is None:
            node, around, tag = stack.pop()
            if tag in _BLOCKS:
                found.begin(around)
            elif tag in _CELLS:
                parts.append(" ")
            continue
        following = node.next if stack else None
        if node.is_text_node:
            if around.pre or not node.is_empty_text_node:
                text = node.text_content or ""
                parts.append(text)
                if around.link:
                    found.links += len(text.strip())
            elif parts:  # spaces become one; those before a text go
                parts.append(" ")
        elif node.is_element_node and (tag := node.tag or "") not in _VOID:
            inner = None
            if tag not in _GONE:
                number += 1
                inner = _enter(node, tag, around, number, parts)
            elif tag == "script":
                _read_script(node, parts)
            if inner is not None:
                if tag in _BLOCKS:
                    found.begin(inner)
                elif tag in _LINES:
                    parts.append(_BREAK)
                child = node.first_child
                if child is not None or tag in _BLOCKS or tag in _CELLS:
                    stack.append((following, around, tag))
                    node, around = child, inner
                    continue
        node = following
    found.begin(_Around())
    return found.blocks


def _read_script(node: LexborNode, parts: list[str]) -> None:
    """A formula in TeX; of other scripts nothing is read."""
    if "math/tex" in (node.attributes.get("type") or ""):
        parts.append(f"${(node.text() or '').strip()}$")


def _enter(
    node: LexborNode, tag: str, around: _Around, number: int, parts: list[str]
) -> _Around | None:
    """What is known of the children; None where they are not read."""
    attributes, look, role = node.attributes, _PLAIN, None
    if attributes:
        if not _HIDING.isdisjoint(attributes) and _is_hidden(attributes):
            return None
        of_class, of_id = attributes.get("class"), attributes.get("id")
        if of_class or of_id:
            look = _look_at(of_class, of_id)
            if look.sign:
                return None
        role = attributes.get("role")
    if tag not in _BLOCKS:
        if tag == "a":
            tag, pre, link, *rest = around
            return around if link else _around((tag, pre, True, *rest))
        if tag in _FORMULAS and (formula := _read_formula(node, tag)):
            parts.append(formula)
            return None
        return around
    _, pre, link, furniture, prose, main, depth, parent = around
    furniture += look.furniture + (tag == "aside")
    if role in _ROLES or furniture > _MOST_FURNITURE:
        return None
    main = main or tag in _MAIN or role == "main"
    parent = parent if tag in _TEXTS else number
    pre = pre or tag == "pre"
    return _around((tag, pre, link, furniture, prose + look.prose, main, depth + 1, parent))


class _Look(NamedTuple):
    """What an element's class and id say of it."""

    sign: bool = False
    furniture: bool = False
    prose: bool = False


_PLAIN = _Look()


@functools.lru_cache(maxsize=1 << 14)
def _look_at(of_class: str | None, of_id: str | None) -> _Look:
    name = f"{of_class or ''} {of_id or ''}"
    sign, name = _SIGNS.search(name), name.lower()
    return _Look(bool(sign), bool(_FURNITURE.search(name)), bool(_PROSE.search(name)))


def _is_hidden(attributes: Mapping[str, str | None]) -> bool:
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    style = attributes.get("style")
    return bool(style and _HIDDEN.search(style))


def _read_formula(node: LexborNode, tag: str) -> str:
    """MathML as the TeX that it was made from, or as its signs; a power as `^`; else nothing."""
    text = _SPACE.sub(" ", node.text() or "").strip()
    if tag == "math":
        tex = node.css_first('annotation[encoding="application/x-tex"]')
        tex_text = (tex.text() or "") if tex is not None else node.attributes.get("alttext")
        return f"${tex_text.strip()}$" if tex_text else text
    if not _RAISED.fullmatch(text) or node.css_first("a") is not None:
        return ""
    return ("^" if tag == "sup" else "_") + (text if len(text) == 1 else f"{{{text}}}")
