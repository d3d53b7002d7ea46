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
_TOLD = _GONE | _BLOCKS | _FORMULAS | {"a"}
"""Elements that tell of their content by their name alone."""
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
    number = 0
    node: LexborNode | None = root
    stack: list[tuple[LexborNode | None, _Around, str]] = []  # what follows an open element
    while node is not None or stack:
        if node is None:
            node, around, tag = stack.pop()
            if tag in _BLOCKS:
                found.begin(around)
            elif tag in _CELLS:
                found.parts.append(" ")
            continue
        following = node.next if stack else None
        if node.is_text_node:
            text = node.text_content or ""
            found.parts.append(text)
            if around.link:
                found.links += len(text.strip())
        elif node.is_element_node:
            number += 1
            tag, attributes = node.tag or "", node.attributes
            inner: _Around | None = around
            if attributes or tag in _TOLD:
                inner = _enter(node, tag, attributes, around, number, found)
            if inner is not None:
                if tag in _BLOCKS:
                    found.begin(inner)
                elif tag in _LINES:
                    found.parts.append(_BREAK)
                child = node.first_child
                if child is not None or tag in _BLOCKS or tag in _CELLS:
                    stack.append((following, around, tag))
                    node, around = child, inner
                    continue
        node = following
    found.begin(_Around())
    return found.blocks


def _enter(
    node: LexborNode,
    tag: str,
    attributes: Mapping[str, str | None],
    around: _Around,
    number: int,
    found: _Open,
) -> _Around | None:
    """What is known of the children; None where they are not read."""
    if tag in _GONE:
        if tag == "script" and "math/tex" in (attributes.get("type") or ""):
            found.parts.append(f"${(node.text() or '').strip()}$")
        return None
    if attributes:
        if not _HIDING.isdisjoint(attributes) and _is_hidden(attributes):
            return None
        of_class, of_id = attributes.get("class"), attributes.get("id")
        if (of_class and _is_sign(of_class)) or (of_id and _SIGNS.search(of_id)):
            return None
    if tag in _FORMULAS and (formula := _read_formula(node, tag)):
        found.parts.append(formula)
        return None
    if tag == "a":
        return around if around.link else _link(around)
    if tag not in _BLOCKS:
        return around
    look = _PLAIN
    if attributes:
        look = _look_at(attributes.get("class") or "", attributes.get("id") or "")
    furniture = around.furniture + look.furniture + (tag == "aside")
    role = attributes.get("role") if attributes else None
    if role in _ROLES or furniture > _MOST_FURNITURE:
        return None
    return _Around(
        tag,
        around.pre or tag == "pre",
        around.link,
        furniture,
        around.prose + look.prose,
        around.main or tag in ("article", "main") or role == "main",
        around.depth + 1,
        around.parent if tag in _TEXTS else number,
    )


class _Look(NamedTuple):
    """What a block's class and id say of it."""

    furniture: bool = False
    prose: bool = False


_PLAIN = _Look()


@functools.lru_cache(maxsize=1 << 10)
def _link(around: _Around) -> _Around:
    return around._replace(link=True)


@functools.lru_cache(maxsize=1 << 12)
def _is_sign(of_class: str) -> bool:
    return _SIGNS.search(of_class) is not None


@functools.lru_cache(maxsize=1 << 14)
def _look_at(of_class: str, of_id: str) -> _Look:
    name = f"{of_class} {of_id}".lower()
    return _Look(bool(_FURNITURE.search(name)), bool(_PROSE.search(name)))


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
