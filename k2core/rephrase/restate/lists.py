"""Members of a list in the other order: `a, b and c` becomes `c, b and a`.

A list is turned where its members are plain nouns, names or adjectives and share nothing: `old
towns and cities` stays, since the cities may be old as well.
"""

from collections.abc import Sequence
from typing import NamedTuple

from k2core.rephrase.restate.words import Word

_NOUN = ("NN", "NP", "UNC")
_COMMA = Word(",", "PUN", glued=True)


class _List(NamedTuple):
    members: list[list[Word]]
    link: Word
    end: int


def turn_lists(words: Sequence[Word]) -> list[Word]:
    """Turn each list."""
    turned: list[Word] = []
    at = 0
    while at < len(words):
        found = _find_list(words, at)
        if found is None:
            turned.append(words[at])
            at += 1
            continue
        *others, last = found.members[::-1]
        for number, member in enumerate(others):
            turned += [_COMMA, *member] if number else member
        turned += [found.link, *last]
        at = found.end
    return turned


def _find_list(words: Sequence[Word], start: int) -> _List | None:
    """The list that begins here, if one does."""
    if start and words[start - 1].has(*_NOUN, "AJ", "DT", "DPS", "CRD", "ORD", "CJC", "POS", "AV"):
        return None
    members: list[list[Word]] = []
    at, link = start, None
    while at < len(words):
        end = at
        while end < len(words) and words[end].has(*_NOUN, "AJ", "PAR"):
            end += 1
        if end == at:
            return None
        members.append(list(words[at:end]))
        if link is not None:
            return _List(members, link, end) if _ends(words, end) and _alike(members) else None
        comma = end < len(words) and words[end].text == ","
        at = end + comma
        if at < len(words) and words[at].text in ("and", "or"):
            link = words[at]
            at += 1
        elif not comma:
            return None
    return None


def _ends(words: Sequence[Word], end: int) -> bool:
    return end == len(words) or words[end].has("PUN", "PRP", "TO0", "CJ", "DTQ", "PNQ", "V")


def _alike(members: Sequence[Sequence[Word]]) -> bool:
    """Whether no member leans on another."""
    if all(len(m) == 1 and m[0].has("AJ") for m in members):
        return True
    if not all(m[-1].has(*_NOUN, "PAR") for m in members):
        return False
    if len(members) == 2:
        return all(len(m) == 1 for m in members) and members[0][0].text.islower()
    return not members[0][0].has("AJ") or all(m[0].has("AJ") for m in members)
