"""What rules take of a language: its stop words, whether it puts spaces between words, its lengths.

Stop words are those of `stopwordsiso` (MIT, 57 languages); English keeps Gopher's eight. Scripts
without spaces are counted sign by sign, a sign with its marks; the runs of words that repetition
looks at are twice as many signs. The bounds of mean lengths are this project's choice.
"""

import functools

import numpy as np
import polars as pl

from k2core.clean.checks import Floats
from k2core.clean.signs import UNSPACED
from schemas.clean import C4, FineWeb, Quality

_MEAN_LENGTHS = {"ko": (1.5, 8.0), "vi": (2.0, 8.0), "he": (2.5, 8.0), "am": (2.0, 8.0)}
_SIGN_LENGTHS = (1.0, 10.0)
_GLUED = UNSPACED | {"ko"}
"""Languages whose stop words are parts of words."""
_ENDLESS = frozenset({"th", "lo"})
"""Languages whose sentences end in a space."""
_LETTERS = r"[^\p{L}\p{M}\p{N}'’-]+"


def adapt_quality(rules: Quality, language: str) -> Quality:
    """Gopher's bounds of the mean word length, for English, as wide as the language needs them."""
    bounds = _SIGN_LENGTHS if language in UNSPACED else _MEAN_LENGTHS.get(language)
    if bounds is None:
        return rules
    low = min(rules.min_mean_word_length, bounds[0])
    high = max(rules.max_mean_word_length, bounds[1])
    return rules.model_copy(update={"min_mean_word_length": low, "max_mean_word_length": high})


def adapt_c4(rules: C4, language: str) -> C4:
    """C4's rules without marks of a sentence's end where there are none."""
    if language not in _ENDLESS:
        return rules
    return rules.model_copy(update={"end_marks": False, "min_sentences": 0})


def adapt_fineweb(rules: FineWeb, language: str) -> FineWeb:
    """FineWeb's rules, likewise."""
    if language not in _ENDLESS:
        return rules
    return rules.model_copy(update={"min_ended_lines_frac": 0.0})


def count_stop_words(texts: pl.Series, language: str) -> Floats | None:
    """How many different stop words each text has; none where the language has no list."""
    words = _stop_words(language)
    if not words:
        return None
    lower = texts.str.to_lowercase()
    if language in _GLUED:
        found = lower.str.extract_many(words, overlapping=True)
    else:
        spaced = " " + lower.str.replace_all(_LETTERS, "  ") + " "
        found = spaced.str.extract_many([f" {word} " for word in words], overlapping=True)
    counts: Floats = found.list.n_unique().fill_null(0).to_numpy().astype(np.float64)
    return counts


@functools.cache
def _stop_words(language: str) -> list[str]:
    from stopwordsiso import stopwords

    found: set[str] = stopwords(language)
    return sorted(word for word in found if any(map(str.isalpha, word)))
