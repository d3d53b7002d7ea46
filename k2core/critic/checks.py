"""Hard checks of prescriptive rules: what no critic is asked, no critic can be talked out of.

Each says whether an answer breaks its rule. They see it as `read_answer` normalises it, bounded,
and in linear time: a model wrote it, perhaps to break them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from k2core.critic.phrases import JUSTIFICATION, PRAISE, TO_JUDGE, VERDICT

_LONGEST = 50_000
_OPENING = 240
"""Characters that an answer begins with."""
_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), 0x2060, 0xFEFF])
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){3,60}\w(?!\w)")
_MARKS = re.compile(r"[*_`#>~]+")
_SENTENCE = re.compile(r"[.!?\n]+")
_REPEATED = re.compile(r"(\S)\1{39}|\b(\w+)(?:\W{1,3}\2\b){7}")
_HEADING = re.compile(r"^ {0,3}#{1,6} *[^\n]*$|^ {0,3}\*\*[^*\n]{1,80}\*\*:?$", re.MULTILINE)
_SHOWY = re.compile(r"\*\*[^*\n]+\*\*|^ {0,3}(?:-{3,}|={3,}|\*{3,})$|^ {0,3}#{1,6}", re.MULTILINE)
_ASKS_FOR_SHOW = re.compile(
    r"\b(?:markdown|headings?|headers?|outline|bold|slides?|report|readme)\b"
)
_HIDDEN = re.compile(
    "[\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f\ue000-\uf8ff]"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
    "|(?<=[A-Za-z])[\u00ad\u200c\u200d](?=[A-Za-z])"
)
_MIXED = re.compile(r"[A-Za-z][\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff][A-Za-z]")


class SeenAnswer(NamedTuple):
    """A request, and an answer in the forms that checks look at."""

    request: str
    raw: str
    """As it was written."""
    plain: str
    """One form of each letter, lower case, no markup, letters that were spaced out together."""


Check = Callable[[SeenAnswer], bool]


def find_breach(checks: Iterable[str], request: str, answer: str) -> str:
    """The first of these checks that an answer breaks; empty for one that breaks none."""
    seen = read_answer(request, answer)
    return next((name for name in checks if CHECKS[name](seen)), "")


def read_answer(request: str, answer: str) -> SeenAnswer:
    """What checks look at."""
    raw = answer[:_LONGEST]
    text = unicodedata.normalize("NFKC", raw).translate(_INVISIBLE).translate(_QUOTES)
    text = _SPACED.sub(lambda found: re.sub(r"[ .\-_*]", "", found[0]), text)
    plain = "\n".join(" ".join(line.split()) for line in _MARKS.sub("", text).splitlines())
    return SeenAnswer(request[:_LONGEST].casefold(), raw, plain.casefold().strip())


def _is_padded(seen: SeenAnswer) -> bool:
    """A third of the sentences were said before, half of the triples of words, or one word 8 x."""
    said = [s.strip() for s in _SENTENCE.split(seen.plain) if len(s.strip()) >= 8]
    again = sum(count - 1 for count in Counter(said).values())
    words = seen.plain.split()
    triples = list(zip(words, words[1:], words[2:], strict=False))
    repeats = len(triples) > 24 and 2 * len(set(triples)) < len(triples)
    return (again >= 2 and 3 * again > len(said)) or repeats or bool(_REPEATED.search(seen.plain))


def _is_for_show(seen: SeenAnswer) -> bool:
    """Many headings over few words, or much in bold, where the request asks for neither."""
    if _ASKS_FOR_SHOW.search(seen.request):
        return False
    words, headings = len(seen.plain.split()), len(_HEADING.findall(seen.raw))
    marks = len(_SHOWY.findall(seen.raw))
    return (headings >= 2 and words < 25 * headings) or (marks >= 3 and words < 8 * marks)


CHECKS: dict[str, Check] = {
    "initial_praise": lambda seen: bool(PRAISE.search(seen.plain[:_OPENING])),
    "self_justification": lambda seen: bool(JUSTIFICATION.search(seen.plain)),
    "word_to_the_judge": lambda seen: bool(TO_JUDGE.search(f"{seen.plain}\n{seen.raw.lower()}")),
    "verdict": lambda seen: bool(VERDICT.search(seen.plain)),
    "padding": _is_padded,
    "show_of_markup": _is_for_show,
    "hidden_text": lambda seen: bool(_HIDDEN.search(seen.raw) or _MIXED.search(seen.raw)),
    "emptiness": lambda seen: not any(map(str.isalnum, seen.plain)),
}
"""By name, as prescriptive criteria name them."""
