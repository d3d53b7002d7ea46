r"""The answer that a text ends with, as data sets and models mark it.

A worked solution of GSM8K ends in `#### 7`, one of MATH holds `\boxed{7}`, many models were taught
to write `<answer>7</answer>`. What is marked last counts, and nothing else does then.
"""

import re
from collections import deque

_TAIL = 20_000
"""Characters at the end of a text where its answer stands."""
_TAGS = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
_HASHES = re.compile(r"^[^\S\n]*+####[^\S\n]++(\S[^\n]*)", re.MULTILINE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s?(?:\{|([^\s{}$\\.,;]+))")
_SAID = re.compile(r"^The answer is:([^\n]*)\Z", re.MULTILINE)
_GROUPED = re.compile(r"(?<=\d)(?:\{,\}|\\[,!;:])(?=\d{3}(?!\d))")


def marked_answer(text: str) -> str | None:
    """What a text marks as its answer; None where it marks nothing."""
    text = text[-_TAIL:]
    found = [(m.start(), m[1]) for pattern in (_TAGS, _HASHES) for m in _last(pattern, text)]
    for match in _last(_BOX, text):
        inner = match[1] or _balanced(text, match.end())
        inside = any(at <= match.start() < at + len(told) + 16 for at, told in found)
        found.append((match.start() + len(text) * inside, inner))
    return max(found)[1].strip() if found else None


def final_answer(text: str) -> str:
    """What a reference answer comes to: what it marks, else what it ends by saying, else itself."""
    marked = marked_answer(text)
    if marked is not None:
        return marked
    text = text.strip()
    said = _SAID.search(text[-_TAIL:])
    return said[1].strip() if said else text


def plain_number(text: str) -> str:
    r"""A number as people write it: LaTeX groups digits by `{,}` and `\\,`, and escapes `$`."""
    return _GROUPED.sub(",", text).replace("\\$", "$").replace("\\%", "%")


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(deque(pattern.finditer(text), maxlen=1))


def _balanced(text: str, start: int) -> str:
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return ""
