r"""Symbolic equality by math-verify. Time is the job's limit: the library's own needs signals.

The library reads more than is written, and less: of `\frac{1}{2}+5` as plain text it takes the
half, of `0.\overline{3}` the zero, of `7:00` a division by zero, of `101_2` the 101, of `even` a
product of four letters. What it reads so is rewritten here, or compared by what it says.
"""

import logging
import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import math_verify
import sympy

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
_SAID = re.compile(r"\banswer\b[* ]{0,4}(?:is|:|=)[*: ]{0,4}(.*)", re.IGNORECASE)
_HOPE = re.compile(r"\.? {0,3}I hope (?:it|this) is correct\W*$", re.IGNORECASE)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|textit)\{([^{}]*)\}")
_WORDS = re.compile(
    r"[A-Z]?[a-z]{3,}|[A-Z][a-z]{2,}|[A-Za-z]{2,}(?:[ '-][A-Za-z]+)*[ '-][A-Za-z]{2,}"
    r"|[A-Z]{3,}|[Yy]es|YES|[Nn]o|NO|odd|DNE"
)
_NAMES = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|sqrt|log|ln|exp|infty|infinity|pi|theta|[ie]"
)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?\W*(?:([ap])\.?m)?\W*", re.IGNORECASE)
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4}")
_BASED = re.compile(r"([0-9A-Z]+)_(?:\{(\d{1,2})\}|(\d))")
_NUMBER = r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\.\d+"
_WITH_UNIT = re.compile(
    rf"([-+]?[$\u20ac\u00a3\u00a5]? ?(?:{_NUMBER})) ?"
    r"([A-Za-z\u00b0][A-Za-z./ ]*(?:(?<=[A-Za-z])\^?[23\u00b2\u00b3])?)?(%?)"
)
_ALONE = re.compile(rf"(?<![\w.,/^*+])[$\u20ac\u00a3\u00a5]?(?:{_NUMBER})(?![\w/^*+]|[.,]\d)%?")
_PLAIN_NAME = re.compile(
    r"(?<![A-Za-z])(?:(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|sqrt|log|ln|exp|pi)(?![A-Za-z])"
)
_PLAIN_ROOT = re.compile(r"\\sqrt \(([^()]*)\)")
_PERCENT = re.compile(r"(?<!\\)%")
_SIGNS = re.compile(r"[\\^_=+*/<>$|{}()\[\]\d]")
# The library reads up to what it cannot, and no further: `10|11` would be 10.
_STRAY = re.compile(
    r"\||\\\\|['\u2019;&~](?! *\\)|[-+*/^_=](?=\W*$)"
    r"|\?|\.\.|\\(?:[cl]?dots|to|rightarrow)(?![A-Za-z])"
)
_TWO = re.compile(
    r"\d *(?:\\(?:text|mathrm|mbox)\{[^{}]*\} *|(?<= )(?!sqrt|log|exp|mod|(?:arc)?(?:sin|cos|tan))"
    r"[A-Za-z]{3,}[A-Za-z ]*+)\d"
)
_DENIED = re.compile(r"(?:\bnot|n['\u2019]t|\bnever|\bnor)\s*(?:\$|\\[(\[])?\s*$", re.IGNORECASE)
_MOST_SIGNS = 50
_LONG_WORD = re.compile(r"[A-Za-z]{3,}")
_ASSIGNED = re.compile(r"(?:^|(?<=,))\s*([A-Za-z](?:_\w|_\{\w+\})?)\s*=\s*([^,=]+)(?=,|$)")


_Put = str | Callable[[re.Match[str]], str]


def _repeating(match: re.Match[str]) -> str:
    sign, whole, fixed, period = match.groups(default="")
    nines = 10 ** len(period) - 1
    value = Fraction(int(f"{whole}{fixed}{period}") - int(f"{whole}{fixed}" or 0))
    value /= nines * 10 ** len(fixed)
    return rf"{sign}\frac{{{value.numerator}}}{{{value.denominator}}}"


_SIGNS_LATEX = str.maketrans(
    {
        **{"\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u00f7": r"\div "},
        **{"\u03c0": r"\pi ", "\u221e": r"\infty ", "\u222a": r"\cup ", "\u2229": r"\cap "},
        **{"\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ", "\u00b1": r"\pm "},
        **{"\u2205": r"\emptyset ", "\u2208": r"\in ", "\u03b8": r"\theta "},
    }
)
"""Signs of Unicode, as LaTeX has them."""
_ROOT = re.compile(r"\u221a\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[A-Za-z]))")
_RAISED = {0x2070 + n: str(n) for n in range(10)} | {0xB9: "1", 0xB2: "2", 0xB3: "3", 0x207B: "-"}
_POWER = re.compile(f"[{''.join(map(chr, _RAISED))}]+")
_FULL_WIDTH = {0xFF00 + low: 0x20 + low for low in range(1, 0x5F)}
_VULGAR = {
    chr(code): f" {unicodedata.normalize('NFKC', chr(code)).replace(chr(0x2044), '/')}"
    for code in (0xBC, 0xBD, 0xBE, *range(0x2150, 0x215F))
}
_BEFORE = str.maketrans(
    {
        **{chr(code): chr(as_ascii) for code, as_ascii in _FULL_WIDTH.items()},
        **_VULGAR,
        "\uffe5": "\u00a5",
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
    }
)
_TIDY: tuple[tuple[re.Pattern[str], _Put], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\\\$", ""),
        ("<=", "\u2264"),
        (">=", "\u2265"),
        ("!=", "\u2260"),
        (r"\\langle(?![A-Za-z])", "("),
        (r"\\rangle(?![A-Za-z])", ")"),
        (r"(?<=\d)(?:\{,\}|\\[,!;: ](?=\d{3}(?!\d)))(?=\d)", ","),
        (
            r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+),(\d+)(?![\w.,])",
            lambda match: f"{match[1].replace('.', '')}.{match[2]}",
        ),
        (r"\u2212|\u2013", "-"),
        (r"\\varnothing", r"\\emptyset"),
        (r"(?<=[(\[,]) *\+ *(?=\\infty|\u221e|inf)", ""),
        (r"(?<![A-Za-z\\])inf(?![A-Za-z])", "\u221e"),
        (r"\\([dt]?)frac +([A-Za-z]) *([A-Za-z\d])(?![A-Za-z{])", r"\\\1frac{\2}{\3}"),
        (r"(?<![\d.])(\d+) *(\\[dt]?frac\{\d+\}\{\d+\})(?= *\\?%)", r"(\1+\2)"),
        (r"\\[dt]?binom *(\d) *(\d)", r"\\binom{\1}{\2}"),
        (r"(-?)(?<![\d.])(\d{0,20})\.(\d{0,20})\\(?:overline|bar|dot) *\{(\d{1,20})\}", _repeating),
        (r"(?<![\w.])(-?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})(?!\w)", r"\1\\cdot10^{\2}"),
        (r"(?<![\w.,/] )(?<![\w.,/])(-?)(\d+) +(\d+)/(\d+)(?![\d/])", r"\1(\2+\\frac{\3}{\4})"),
        (
            r"(?<![\w.,/])[1-9]\d{0,2}(?:[ '\u2019]\d{3})+(?![\w/])",
            lambda match: re.sub(r"\D", "", match[0]),
        ),
        (r"(?<=\d) ?[x\u00d7] ?(?=10 ?[\^\u2070\u00b9\u00b2\u00b3\u2074-\u207b])", r"\\cdot "),
        (
            r"(?:,\s*)?\\(?:text|mathrm|mbox)\{\s{0,3},?\s{0,3}(?:or|and)\s{0,3},?\s{0,3}\}"
            r"|(?<=[\d)\]}]) *,? (?:or|and) ",
            ",",
        ),
    )
)


def score(given: dict[str, Any]) -> dict[str, Any]:
    """`gold`: whether the expected text is mathematics; `score`: 1 if the answer equals it."""
    gold = tidy(given["gold"].strip().strip("$").strip())
    if (wrapped := _WRAPPED.fullmatch(gold)) and wrapped[1][:1].isdecimal():
        gold = wrapped[1]
    found = extract(tidy(given["answer"]), gold)
    told = _tell_otherwise(gold, found)
    if told is not None:
        return {"gold": True, "score": float(told)}
    parsed = _parse(f"${gold}$")
    if _RELATION.search(gold) and parsed and isinstance(parsed[0], sympy.Number):
        return {"gold": True, "score": float(_bare(found) == _bare(gold))}
    parts, letters = _values(found, gold), _WRAPPED.sub("", gold)
    right = bool(parts) and all(_equals(parsed, part, letters) for part in parts)
    return {"gold": bool(parsed), "score": float(bool(parsed) and right)}


def tidy(text: str) -> str:
    """What the library misreads, in forms that it reads."""
    text = text.translate(_BEFORE)
    for pattern, put in _TIDY:
        text = pattern.sub(put, text)
    return text


def _tell_otherwise(gold: str, found: str) -> bool | None:
    """Equality of what is no mathematics; None of what is."""
    if word := _word(gold):
        return _bare(found) == word
    if clock := _CLOCK.fullmatch(_WRAPPED.sub(r"\1", gold)):
        other = _CLOCK.fullmatch(_WRAPPED.sub(r"\1", found[:100]).strip())
        return other is not None and _same_time(clock, other)
    if other := _BASED.fullmatch(_bare(found, fold=False)):
        if based := _BASED.fullmatch(_bare(gold, fold=False)):
            return _in_base(based) == _in_base(other)
        return str(_in_base(other)) == gold
    value = found if "=" in gold else found.rpartition("=")[2]
    strange = set(_STRAY.findall(value)) - set(_STRAY.findall(gold))
    return False if strange or (_TWO.search(value) and not _TWO.search(gold)) else None


def _word(gold: str) -> str:
    """The words of a gold answer that is only words; empty of mathematics."""
    if _TWO.search(gold) or _DATE.fullmatch(gold):
        return _bare(gold)
    wrapped = _WRAPPED.fullmatch(gold.strip())
    inner = (wrapped[1] if wrapped else gold).strip(" .()")
    is_word = bool(re.match(r"[^\W\d]", inner)) if wrapped else _is_words(inner)
    return _bare(gold) if is_word and not _NAMES.fullmatch(inner) else ""


def _is_words(text: str) -> bool:
    if _WORDS.fullmatch(text):
        return True
    long = [word for word in _LONG_WORD.findall(text) if not _NAMES.fullmatch(word)]
    return bool(long) and " " in text and not _SIGNS.search(text)


def _bare(text: str, *, fold: bool = True) -> str:
    text = " ".join(_WRAPPED.sub(r"\1", text).replace("\\ ", " ").split()).strip(" .()*$`\"'")
    return text.casefold() if fold else text


def _same_time(one: re.Match[str], other: re.Match[str]) -> bool:
    halves = {(m[4] or "").lower() for m in (one, other)} - {""}
    return [int(n or 0) for n in one.groups()[:3]] == [
        int(n or 0) for n in other.groups()[:3]
    ] and len(halves) < 2


def _in_base(match: re.Match[str]) -> object:
    digits, base = match[1], int(match[2] or match[3])
    try:
        return int(digits, base) if len(digits) < 200 and 2 <= base <= 36 else match[0]
    except ValueError:
        return match[0]


def _values(found: str, gold: str) -> list[str]:
    """What must equal the gold: of `x = 2` the 2, of `1 = 2` both; none of a relation."""
    if _RELATION.search(gold) or "=" in gold:
        return [found] if found else []
    found = _drop_names(found)
    if _RELATION.search(found) or set(_UNKNOWN.findall(found)) - set(gold):
        return []
    sides = [side.strip() for side in found.split("=")]
    return [side for side in sides[:-1] if not _NAME.fullmatch(side)] + [s for s in sides[-1:] if s]


def _drop_names(found: str) -> str:
    """Of `x = 1, x = -2` the values."""
    assigned = _ASSIGNED.findall(found)
    one_name = len({name for name, _ in assigned}) == 1
    whole = len(assigned) == found.count("=") == found.count(",") + 1
    return ",".join(value for _, value in assigned) if one_name and whole else found


def _equals(gold: list[Any], text: str, letters: str) -> bool:
    """Whether a text has the value; a unit after its number says nothing.

    Args:
        gold: what is expected, as it was read.
        text: what was answered.
        letters: of what is expected: these are no units.
    """
    forms = [_as_latex(text, letters)]
    if "%" in text and "%" not in letters:  # asked for a percentage, data sets state the number
        forms.append(forms[0].replace("\\%", ""))
    read = (_parse(f"${form}$") for form in forms if form)
    return any(
        math_verify.verify(gold, found, strict=True, timeout_seconds=None)
        and not _differ(gold[0], found[0])
        for found in read
    )


def _differ(gold: object, found: object) -> bool:
    """Whether two numbers differ that the library rounds to one: it takes 0.0000001 for 0.

    Decimals that end are exact; one that stands for what does not end has six right digits.
    """
    if not any(isinstance(v, sympy.Expr) and v.atoms(sympy.Float) for v in (gold, found)):
        return False
    one, other = _fraction(gold), _fraction(found)
    if one is None or other is None:
        return False
    parts = (one.denominator, other.denominator)
    ends = all(pow(10, part.bit_length(), part) == 0 for part in parts)
    return one != other if ends else abs(one - other) * 10**6 > abs(one)


def _fraction(value: object) -> Fraction | None:
    """The value of what is written with decimals, exactly; None of anything else."""
    if not isinstance(value, sympy.Expr) or not value.is_number or value.count_ops() > _MOST_SIGNS:
        return None
    as_written = {part: sympy.Rational(str(part)) for part in value.atoms(sympy.Float)}
    exact = value.xreplace(as_written).doit()
    return Fraction(int(exact.p), int(exact.q)) if exact.is_Rational else None


def _as_latex(text: str, letters: str) -> str:
    """Without what the library would read wrongly; empty of a sentence."""
    if "\\" not in text:
        unit = _WITH_UNIT.fullmatch(text)
        if unit and _is_unit(unit[2] or "", letters):
            text = unit[1].strip(" $\u20ac\u00a3\u00a5").replace(",", "") + unit[3]
        elif any(not _NAMES.fullmatch(word) for word in _LONG_WORD.findall(text)):
            return ""
        text = _PLAIN_NAME.sub(r"\\\g<0> ", text.replace("**", "^").replace("*", " "))
        text = _PLAIN_ROOT.sub(r"\\sqrt{\1}", text)
    return _PERCENT.sub(r"\\%", text)


def _is_unit(word: str, letters: str) -> bool:
    word = word.strip(" .")
    return not _NAMES.fullmatch(word) and not (len(word) == 1 and word in letters)


def extract(text: str, gold: str = "") -> str:
    """The last box; else the last formula; else what the answer is said to be, in its last line.

    Args:
        text: the answer.
        gold: what is expected: where it has `=` or `:`, neither parts an answer from its name.
    """
    if _BOXED in text:
        return _balanced(text.rpartition(_BOXED)[2]).strip()
    if formulas := list(_MATHS.finditer(text)):
        denied = _DENIED.search(text[: formulas[-1].start()][-40:])
        return "" if denied else str(formulas[-1][formulas[-1].lastindex or 0]).strip()
    text = _HOPE.sub("", text.strip())
    lines, said = text.splitlines() or [""], _SAID.findall(text)
    last = (str(said[-1]).strip() if said else "") or lines[-1].strip()
    last = _drop_names(re.split(r"[.!](?:\s|$)", last)[0] if said else last)
    names = "".join(sign for sign in "=:" if sign not in gold)
    value = re.split(rf"[{names}]|\bis\b" if names else r"\bis\b", last)[-1]
    value = value.strip().rstrip(".!").strip("* ")
    alone = _ALONE.findall(value)
    if not re.match(r"[A-Za-z]{2,},? ", value) or len(alone) != 1:
        return value
    return "" if _DENIED.search(value.partition(alone[0])[0][-40:]) else alone[0]


def _balanced(text: str) -> str:
    depth = 1
    for at, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return text[:at]
    return ""


def _parse(text: str) -> list[Any]:
    text = _ROOT.sub(lambda root: rf"\sqrt{{{root[1] or root[2]}}}", text)
    text = _POWER.sub(lambda power: f"^{{{power[0].translate(_RAISED)}}}", text)
    return list(math_verify.parse(text.translate(_SIGNS_LATEX), parsing_timeout=None))


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
