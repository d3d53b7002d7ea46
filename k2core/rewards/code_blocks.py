"""Which part of an answer is its code."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# In linear time: no run is tried from its middle, and what follows it is short.
_FENCE = re.compile(r"((?<!`)`{3,}+|(?<!~)~{3,}+)([^\n`]{0,200}+)(?:\n|\Z)")
_LABELS = {
    "python": ("python", "py", "python3"),
    "bash": ("bash", "sh", "shell"),
    "c": ("c",),
    "c++": ("c++", "cpp", "cxx", "cc"),
}
_LABEL = re.compile(r"[\w+#-]*")


class _Block(NamedTuple):
    label: str
    code: str


def extract_code(text: str, language: str = "python", names: Sequence[str] = ()) -> str:
    """The last fenced block in the language, or all of a text that has no block.

    Where none says the language, the last that says none, else the last. A block that nobody
    closed goes to the end.

    Args:
        text: the answer.
        language: of `k2core.sandbox`.
        names: what the code is to define; the last block that does comes before those that do not.
    """
    blocks = list(_blocks(text))
    labels = _LABELS.get(language, (language,))
    named = [block for block in blocks if block.label in labels]
    chosen = named or [block for block in blocks if not block.label] or blocks
    if not chosen:
        return text
    defining = [block for block in chosen if any(_defines(block.code, name) for name in names)]
    return (defining or chosen)[-1].code


def _blocks(text: str) -> Iterator[_Block]:
    """In order; in linear time."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]):
            yield _cut(text, opened, fence.start())
            opened = fence if fence[2].strip() else None
    if opened is not None:
        end = text.find(opened[1], opened.end())
        if block := text[opened.end() : end if end >= 0 else len(text)].strip():
            yield _cut(text, opened, opened.end() + text[opened.end() :].index(block) + len(block))


def _cut(text: str, opened: re.Match[str], end: int) -> _Block:
    label = _LABEL.match(opened[2].strip())
    code = text[opened.end() : end]
    before = text[text.rfind("\n", 0, opened.start()) + 1 : opened.start()]
    indented = before.isspace()
    return _Block(label[0].lower() if label else "", textwrap.dedent(code) if indented else code)


def _defines(code: str, name: str) -> bool:
    named = re.escape(name)
    return bool(re.search(rf"^(?:(?:async )?def|class) {named}\b|^{named}\s*[:=]", code, re.M))
