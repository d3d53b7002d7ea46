"""A sentence as words with their part of speech (HanTa's morphological tagger, BNC's C5 tags)."""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol, cast

_TOKEN = re.compile(
    r"\s*(\([^()]*\)|\[[^\[\]]*\]|[\"“][^\"“”]*[\"”]|\$[^$\s]+\$"
    r"|(?:[A-Z]\.)+(?=\s+\S)|(?:St|Dr|Mr|Mrs|vs|etc|c|ca)\.(?=\s)|[\w’'&%°$€£/+-]+(?:[.,:]\d+)*"
    r"|[^\w\s])"
)
_BRACKETS = '(["“$'
_TAGGED = re.compile(r"[\w’'-]+")


class Word(NamedTuple):
    """A token, and what stands before it."""

    text: str
    tag: str
    """`NN1`, `VBZ`, …; `PUN` of marks, `PAR` of a bracket with all that is in it."""
    glued: bool
    """Whether no space stands before it."""
    lemma: str = ""
    """Its plain form: of verbs the infinitive."""

    def has(self, *beginnings: str) -> bool:
        """Whether its tag begins so."""
        return self.tag.startswith(beginnings)


class _Tagger(Protocol):
    def tag_sent(self, words: Sequence[str], taglevel: int) -> list[tuple[str, str, str]]:
        """Words, lemmas and tags."""


@cache
def _tagger() -> _Tagger:
    from HanTa.HanoverTagger import HanoverTagger

    return cast(_Tagger, HanoverTagger("morphmodel_en.pgz"))


def tag(sentence: str) -> list[Word]:
    """The words of a sentence."""
    found = list(_TOKEN.finditer(sentence))
    texts = [match[1] for match in found]
    plain = [text.strip('“”"()[]').split(" ")[0] or "it" for text in texts]
    tags = _tagger().tag_sent(plain, taglevel=1) if plain else []
    return [
        Word(text, _tag_of(text, tag), match.start() == match.start(1), lemma)
        for text, (_, lemma, tag), match in zip(texts, tags, found, strict=True)
    ]


def _tag_of(text: str, tag: str) -> str:
    if text[0] in "([":
        return "PAR"
    if text[0] in _BRACKETS:
        return "NP0"
    if not _TAGGED.match(text):
        return "PUN"
    return tag


def join(words: Sequence[Word]) -> str:
    """The words as text, spaced as they were."""
    text = "".join(word.text if word.glued else f" {word.text}" for word in words)
    return text.strip()


def capitalise(text: str) -> str:
    """A capital letter first."""
    return text[:1].upper() + text[1:]
