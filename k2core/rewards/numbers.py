"""Numbers as people write them, read by rules of no country.

- Groups of three: `1,000`, `1 000` (also with narrow or no-break spaces), `1'000`, `1.000.000`.
- One point is decimal: `1.000` is one. One comma groups where three digits follow, and is else no
  number: `1,005` is never 5, and `1,5` may be a pair.
- Of two kinds of separator the last is decimal: `1,000.5` and `1.000,5` are both a thousand and a
  half.
- `-`, the minus sign and an en dash are signs where no word stands before them: in `40-37` none is.
- What is part of an expression (`3/5`, `2*37`, `2^37`, `3:37`) is no number, nor is part of a word;
  what is denied (`not 37`), asked (`37?`) or a bound (`x > 37`) is not said.

An answer is the last number said. A list of alternatives (`36 or 37`, `1, 2, 3`) answers nothing.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

_SPACES = " \u00a0\u2007\u2009\u202f"
_MINUS = str.maketrans("\u2212\u2013\uff0d", "---")
_TOKEN = re.compile(
    rf"(?<![\w.])(?:(?<!\w)-)?(?:\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)(?:[.,]\d+)?"
    rf"|\d+(?:[.,'\u2019]\d+)*)(?!\w)"
)
_BEFORE = re.compile(r"(?:[\d)\]}][ \t]*(?:\*\*?|[/^\u00d7\u00f7\u00b7\u2044\u2215])[ \t]*|\d:)-?$")
_DENIED = re.compile(
    r"(?:(?:\bnot|n['\u2019]t|\bnor|\bnever)[ \t*_`$]|<=|< |[\u2264\u2265\u2260]|\w >=?)"
    r"[ \t*_`$]*-?$",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[*_`$)]{0,4}\?")
_GROUPS = re.compile(rf"[1-9]\d{{0,2}}([,.'\u2019{_SPACES}])\d{{3}}(?:\1\d{{3}})*")
_MARKS = " \t*_`$()[]{}\\"
_ALTERNATIVE = frozenset(
    ("", "or", "and", "to", ", or", ", and", ",or", ",and", ";", "|", "/", "&", "or maybe")
)
_LINE = re.compile(r"[\s\-*\u2022]*\n[\s\-*\u2022]*")
_ENDS = re.compile(rf"[{re.escape(_MARKS)}.!]*(?:\n|\Z)")
_LONGEST_GAP = 40
_TAIL = 20_000
"""Characters at the end of a text among which its last number stands."""


class Value(NamedTuple):
    """Equal where the numbers are: without idle zeros, and zero has no sign."""

    negative: bool
    whole: str
    decimals: str


class Number(NamedTuple):
    """A number in a text."""

    start: int
    end: int
    value: Value | None
    """None of what is no one number, or not said: a pair, a part of an expression, `not 3`."""


def find_numbers(text: str) -> list[Number]:
    """The numbers of a text in order, those that cannot be read included; in linear time."""
    plain = _plain(text)
    return [_read(plain, match) for match in _TOKEN.finditer(plain)]


def final_number(text: str, known: Collection[Value] = ()) -> Number | None:
    """The last number said; None where there is none or it stands among alternatives.

    Args:
        text: the answer.
        known: values that the question named: said again, they answer nothing.
    """
    plain = _plain(text[-_TAIL:])
    numbers = find_numbers(plain)
    while numbers and numbers[-1].value in known:
        numbers.pop()
    return numbers[-1] if numbers and not _is_alternative(plain, numbers) else None


def read_number(text: str) -> Value | None:
    """The value of a text that is one number."""
    numbers = find_numbers(text)
    alone = len(numbers) == 1 and (numbers[0].start, numbers[0].end) == (0, len(text))
    return numbers[0].value if alone else None


def _plain(text: str) -> str:
    """Digits of every script as ASCII, every minus as `-`; of equal length."""
    text = text.translate(_MINUS)
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(c)) if not c.isascii() and c.isdecimal() else c for c in text
    )


def _read(text: str, match: re.Match[str]) -> Number:
    start, end = match.span()
    before = text[max(0, start - 8) : start]
    bold = before.endswith("**") and text.startswith("**", end)
    inside = bool(_BEFORE.search(before)) and not bold
    meant = not inside and not _DENIED.search(before) and not _ASKED.match(text, end)
    parts = _split(match[0].removeprefix("-")) if meant else None
    if parts is None:
        return Number(start, end, None)
    whole, decimals = parts[0].lstrip("0") or "0", parts[1].rstrip("0")
    negative = match[0].startswith("-") and (whole, decimals) != ("0", "")
    return Number(start, end, Value(negative, whole, decimals))


def _split(token: str) -> tuple[str, str] | None:
    """Digits before and after the decimal separator."""
    kinds = list(dict.fromkeys(c for c in token if not c.isdecimal()))
    if not kinds:
        return token, ""
    last = kinds[-1]
    pointed = kinds == ["."] or (len(kinds) == 2 and last in ".,")
    whole, decimals = token, ""
    if pointed and token.count(last) == 1:
        whole, _, decimals = token.rpartition(last)
    if not whole.isdecimal() and not _GROUPS.fullmatch(whole):
        return None
    return "".join(filter(str.isdecimal, whole)), decimals


def _is_alternative(text: str, numbers: Sequence[Number]) -> bool:
    """Whether the last number stands in a list with another value."""
    last, commas, lines = numbers[-1], 0, 0
    for before, after in pairwise(reversed(numbers)):
        gap = text[after.end : before.start]
        if len(gap) > _LONGEST_GAP:
            break
        joined, differs = gap.strip(_MARKS).lower(), after.value != last.value
        if joined in _ALTERNATIVE:
            if differs:
                return True
        elif joined == ",":
            commas += differs
        elif _LINE.fullmatch(gap):
            lines += differs
        else:
            break
    return commas > 1 or lines > 1 or bool(commas and _ENDS.match(text, last.end))
