"""Which of a chunk's drafts stands: the gate judges drafts, then single sentences of them.

A model of 135 M parameters spoils one sentence more often than all. What it said faithfully is
kept, and a sentence of the source that no draft says faithfully stays. Who worded how much is told,
and the whole still has to pass the gate, which asks for half of it in other words.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from k2core.rephrase.chunks import split_sentences
from k2core.rephrase.fidelity import passes
from k2core.rephrase.language import detect_language
from k2core.rephrase.surface import list_stems, list_words
from schemas.rephrase import FidelityConfig

_LOOKED_AT = 4
"""Sentences of drafts that are held against one of the source: those that share most with it."""


class EditedWords(NamedTuple):
    """Words of a rewrite by who put them so."""

    by_model: int = 0
    by_source: int = 0
    """In sentences of the source that stayed."""

    def plus(self, other: "EditedWords") -> "EditedWords":
        """Of both."""
        return EditedWords(*(a + b for a, b in zip(self, other, strict=True)))


class Edited(NamedTuple):
    """A chunk's rewrite."""

    text: str
    wording: EditedWords
    cut: bool
    """Whether what stands was ended by its limit."""


class Written(NamedTuple):
    """A draft of a chunk."""

    text: str
    cut: bool
    """Whether it was ended by its limit."""


class Editor(Protocol):
    """Makes one text of a chunk's drafts."""

    def edit(self, chunk: str, drafts: Sequence[Written]) -> Edited:
        """What stands for the chunk."""


class FirstDraft:
    """Takes what was written first as it is; implements `Editor`."""

    def edit(self, chunk: str, drafts: Sequence[Written]) -> Edited:
        """The first draft."""
        first = drafts[0]
        return Edited(first.text, EditedWords(by_model=len(first.text.split())), first.cut)


class GateEditor:
    """Takes the first draft that the gate lets pass, or else sentence by sentence what it does.

    Implements `Editor`.

    Args:
        limits: the gate's.
    """

    def __init__(self, limits: FidelityConfig) -> None:
        self._limits = limits

    def edit(self, chunk: str, drafts: Sequence[Written]) -> Edited:
        """A faithful draft; or faithful sentences of all, and the source's for the others."""
        for draft in drafts:
            if passes(chunk, draft.text, draft.cut, self._limits):
                return Edited(draft.text, EditedWords(by_model=len(draft.text.split())), cut=False)
        if detect_language(chunk) == "other":  # sentences of two languages are no text
            return FirstDraft().edit(chunk, drafts)
        said = _list_candidates(drafts)
        sentences, wording = list[str](), EditedWords()
        for sentence in split_sentences(chunk):
            found = self._find(sentence, said)
            said = [other for other in said if not found or other not in found]
            sentences.append(found or sentence)
            num = len(sentences[-1].split())
            wording = wording.plus(EditedWords(num, 0) if found else EditedWords(0, num))
        return Edited(" ".join(sentences), wording, cut=False)

    def _find(self, sentence: str, said: Sequence[str]) -> str:
        """The sentence in the model's words; empty where no draft says it faithfully."""
        stems = list_stems(list_words(sentence))
        alike = sorted(said, key=lambda other: -_likeness(stems, other))
        near = alike[:_LOOKED_AT]
        return next((o for o in near if passes(sentence, o, False, self._limits)), "")


def _list_candidates(drafts: Sequence[Written]) -> list[str]:
    """Whole sentences of the drafts, and neighbours together: one may have become two."""
    found = []
    for draft in drafts:
        sentences = [s for s in split_sentences(draft.text) if s[-1] in ".!?"]
        found += [*sentences, *(f"{a} {b}" for a, b in pairwise(sentences))]
    return list(dict.fromkeys(found))


def _likeness(stems: set[str], other: str) -> float:
    """Share of what either is about that both are about."""
    said = list_stems(list_words(other))
    return len(stems & said) / max(1, len(stems | said))
