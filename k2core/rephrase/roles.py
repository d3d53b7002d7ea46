"""Names that changed places: each stands in the rewrite where the other stood in the source.

Where a name stands is told by the words beside it: the preposition or verb before it, the verb
after it. A faithful rewrite moves a name together with what governs it; the members of a list may
change places.
"""

import re
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import combinations
from typing import NamedTuple

from k2core.rephrase.chunks import split_sentences
from k2core.rephrase.surface import list_names

_WORD = re.compile(r"[^\W_]+(?:[’'-][^\W_]+)*|[^\w\s]")
_BETWEEN = frozenset(("and", "or", ",", "the", "a", "an", "&", "as", "well", "nor", "/"))
_INVERTED = ("is", "was", "are", "were", "does", "did", "do", "has", "have", "had", "can", "may")
"""Before a name they ask for it, after it they say who did it."""
_PLAIN = frozenset(("the", "a", "an", "and", "or"))

Places = Mapping[str, Counter[str]]
"""A name -> how often a word stands beside it: `born in <`, `> was`, and `^` of a subject."""


def count_exchanged(source: str, rewrite: str) -> int:
    """Pairs of names that took each other's place."""
    names = list_names(source, rewrite) | list_names(rewrite, source)
    given, said = find_places(source, names), find_places(rewrite, names)
    both = sorted(given.keys() & said.keys())
    moves = {name: Move.between(given[name], said[name]) for name in both}
    listed = _list_listed(source) | _list_listed(rewrite)
    return sum(
        moves[one].takes(moves[two])
        and moves[two].takes(moves[one])
        and frozenset((one, two)) not in listed
        for one, two in combinations(both, 2)
    )


class Move(NamedTuple):
    """Where a name stood and no longer stands, and where it stands now."""

    left: frozenset[str]
    taken: frozenset[str]

    @classmethod
    def between(cls, given: Counter[str], said: Counter[str]) -> "Move":
        """What changed."""
        return cls(frozenset(given - said), frozenset(said - given))

    def takes(self, other: "Move") -> bool:
        """Whether it stands where the other stood."""
        return bool(self.taken & other.left)


def find_places(text: str, names: AbstractSet[str]) -> dict[str, Counter[str]]:
    """Each name, and what stands beside it."""
    places: dict[str, Counter[str]] = {}
    for sentence in split_sentences(text):
        words = _WORD.findall(sentence)
        for at, word in enumerate(words):
            if len(word) > 1 and word[0].isupper() and word.lower() in names:
                places.setdefault(word, Counter()).update(_beside(words, at))
    return places


def _beside(words: list[str], at: int) -> set[str]:
    """The words around the whole name, past articles; marks and a sentence's end tell nothing."""
    before = next((w for w in reversed(words[:at]) if _tells(w)), "")
    after = next((w for w in words[at + 1 :] if _tells(w)), "")
    told = before[:1].isalpha() and before not in _INVERTED
    found = {f"{before} <"} if told else set[str]()
    found |= {f"> {after}"} if after[:1].isalpha() else set()
    return found | ({"^"} if not before and after[:1].isalpha() else set())


def _tells(word: str) -> bool:
    return not word[0].isupper() and word not in _PLAIN


def _list_listed(text: str) -> set[frozenset[str]]:
    """Pairs of names between which there are other names, commas and conjunctions alone."""
    pairs = set[frozenset[str]]()
    run: list[str] = []
    for sentence in split_sentences(text):
        run = []
        for word in _WORD.findall(sentence):
            if word[0].isupper() and len(word) > 1:
                pairs |= {frozenset((other, word)) for other in run}
                run.append(word)
            elif word not in _BETWEEN:
                run = []
    return pairs
