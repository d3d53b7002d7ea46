"""What of a text can be counted: numbers with their units, names, negations, code and formulas."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from k2core.rephrase.chunks import split_sentences

_WORD = re.compile(r"[^\W\d_]+(?:[’'][^\W\d_]+)?")
_NUMBER = re.compile(r"(?<![\w.])[$€£]?(\d+(?:[.,]\d+)*)(?:\s*-?\s*(%|°?[A-Za-z]+\b))?")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_TENS = "ten twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS_SPELLED = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_SPELLED = dict(zip(_UNITS_SPELLED.split(), map(str, range(2, 20)), strict=True)) | {
    word: str(10 * (number + 1)) for number, word in enumerate(_TENS.split())
}
"""`one` is left out: it is a pronoun more often than a number."""
_UNITS = {
    "km": "kilometre kilometres kilometer kilometers km",
    "m": "metre metres meter meters m",
    "cm": "centimetre centimetres centimeter centimeters cm",
    "mm": "millimetre millimetres millimeter millimeters mm",
    "ft": "foot feet ft",
    "mi": "mile miles mi",
    "kg": "kilogram kilograms kg",
    "g": "gram grams g",
    "lb": "pound pounds lb lbs",
    "t": "tonne tonnes ton tons",
    "%": "percent %",
    "°c": "°c celsius",
    "s": "second seconds s",
    "min": "minute minutes min",
    "h": "hour hours",
    "day": "day days",
    "year": "year years",
    "k": "thousand",
    "mn": "million",
    "bn": "billion",
    "ac": "acre acres",
    "ha": "hectare hectares ha",
}
_MONTHS = "January February March April May June July August September October November December"
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()} | {
    month.lower(): month.lower() for month in _MONTHS.split()
}
_MONTH_DAY = re.compile(rf"\b({_MONTHS.replace(' ', '|')})\s+(\d{{1,2}})\b(?!\s*(?:years|century))")
_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|none|nobody|nothing|cannot|without|hardly|barely"
    r"|unable|fails?|failed|lack(?:s|ed|ing)?)\b|n[’']t\b",
    re.IGNORECASE,
)
_VERBATIM = re.compile(
    r"```.*?```|`[^`\n]+`|\$[^$\n]+\$"
    r"|[\d(][\d\s.,()+*/×÷^−-]*[+*/×÷^−-][\d\s.,()+*/×÷^−-]*=\s*-?\d+(?:\.\d+)?",
    re.DOTALL,
)
_LEXICON = Path(__file__).with_name("lexicon.txt")
_STEM = 5


def list_words(text: str) -> list[str]:
    """Words in lower case, without possessive endings."""
    return [_plain(word) for word in _WORD.findall(text)]


def list_numbers(text: str) -> set[str]:
    """Numbers as digits, however they were written."""
    digits = {number.replace(",", "") for number in _DIGITS.findall(text)}
    return digits | {_SPELLED[word] for word in list_words(text) if word in _SPELLED}


def list_quantities(text: str) -> set[tuple[str, str]]:
    """Numbers with their units, days with their months: `65 metres` is `("65", "m")`."""
    found = {(day, month.lower()) for month, day in _MONTH_DAY.findall(text)}
    for number, word in _NUMBER.findall(text):
        if unit := _UNIT_OF.get(word.lower()):
            found.add((number.replace(",", ""), unit))
    return found


def list_names(text: str, beside: str = "") -> set[str]:
    """Capitalised words, sentence beginnings among them if no common word begins so.

    A sentence's first word counts where this text or the one beside it has it capitalised
    elsewhere, or where nothing knows it in lower case: neither text, nor the lexicon (words that
    Wikipedia writes so).
    """
    inside, first = set[str](), set[str]()
    for sentence in split_sentences(text):
        words = _WORD.findall(sentence)
        first |= {_plain(word) for word in words[:1] if word[0].isupper()}
        inside |= {_plain(word) for word in words[1:] if word[0].isupper() and word != "I"}
    surely = inside | (list_names(beside) if beside else set())
    lower = {word for word in _WORD.findall(f"{text} {beside}") if word.islower()}
    known = lower | common_words()
    strange = {word for word in first if not {word, word.removesuffix("s")} & known}
    return inside | (first & surely) | strange


def list_stems(words: Sequence[str]) -> set[str]:
    """Beginnings of the longer words: what a text is about, whatever the endings."""
    return {word[:_STEM] for word in words if len(word) >= 4}


def count_negations(text: str) -> int:
    """Words that turn a statement round."""
    return len(_NEGATION.findall(text))


def list_verbatim(text: str) -> set[str]:
    """Code, formulas and worked sums, without white space: what must stay as it is."""
    return {re.sub(r"[\s`$]+", "", found) for found in _VERBATIM.findall(text)}


def list_grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Runs of `n` words."""
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


@cache
def common_words() -> frozenset[str]:
    """Words that occur in lower case at least twice in 10,033 Wikipedia extracts."""
    return frozenset(_LEXICON.read_text(encoding="utf-8").split())


def _plain(word: str) -> str:
    return re.sub(r"[’']s?$", "", word.lower())
