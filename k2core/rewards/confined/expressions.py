"""Symbolic equality by math-verify. Time is the job's limit: the library's own needs signals."""

import logging
import re
from typing import Any

import math_verify

_MATHS = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_RELATION = re.compile(
    r"[<>\u2264\u2265\u2260\u2248\u2261]"
    r"|\\(?:lt|gt|le|ge|leq|geq|leqslant|geqslant|ll|gg|ne|neq|approx|equiv|sim|cong|propto)"
    r"(?![A-Za-z])"
)
# The library drops a letter after a number as it does a unit: `11x` would be 11.
_UNKNOWN = re.compile(r"\d[ *]{0,3}([abcknpquvwxyz])(?![A-Za-z])")
_NAME = re.compile(r"\\?[A-Za-z][\w{}']{0,20}(?:\([^()]{0,40}\))?|")
_BOXED = "\\boxed{"


def score(given: dict[str, Any]) -> dict[str, Any]:
    """`gold`: whether the expected text is mathematics; `score`: 1 if the answer equals it."""
    gold = _parse(f"${given['gold']}$")
    parts = _values(extract(given["answer"]), given["gold"])
    right = bool(parts) and all(_equals(gold, part) for part in parts)
    return {"gold": bool(gold), "score": float(bool(gold) and right)}


def _values(found: str, gold: str) -> list[str]:
    """What must equal the gold: of `x = 2` the 2, of `1 = 2` both; none of a relation."""
    if _RELATION.search(gold) or "=" in gold:
        return [found] if found else []
    if _RELATION.search(found) or set(_UNKNOWN.findall(found)) - set(gold):
        return []
    sides = [side.strip() for side in found.split("=")]
    return [side for side in sides[:-1] if not _NAME.fullmatch(side)] + [s for s in sides[-1:] if s]


def _equals(gold: list[Any], text: str) -> bool:
    return any(
        math_verify.verify(gold, _parse(form), strict=True, timeout_seconds=None)
        for form in (f"${text}$", text)
    )


def extract(text: str) -> str:
    """The last box; else the last formula; else what follows the last `=`, `:` or `is`."""
    if _BOXED in text:
        return _balanced(text.rpartition(_BOXED)[2])
    if formulas := _MATHS.findall(text):
        return str(next(part for part in formulas[-1] if part)).strip()
    last = (text.strip().splitlines() or [""])[-1]
    return re.split(r"=|:|\bis\b", last)[-1].strip().rstrip(".!").strip("* ")


def _balanced(text: str) -> str:
    depth = 1
    for at, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return text[:at]
    return ""


def _parse(text: str) -> list[Any]:
    return list(math_verify.parse(text, parsing_timeout=None))


# What the libraries import only when it is needed has to be there before a job loses its files.
for _warm in (
    r"\frac{1}{2}x^2+\sqrt{3}",
    r"\{1,2\}",
    "(1,2]",
    r"x \le 2",
    r"\int_0^1 x dx",
    "10\\%",
):
    score({"gold": _warm, "answer": f"${_warm}+1$"})
    score({"gold": _warm, "answer": "(x+1)**2/2"})
logging.disable()
