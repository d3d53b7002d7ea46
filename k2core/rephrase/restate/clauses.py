"""What a sentence says, piece by piece: who, what is said of it, and under which circumstance.

Only what the parts of speech make sure is taken apart; anything else stays in its piece, in the
source's order, so that nothing is said of somebody else than in the source.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from k2core.rephrase.restate.words import Word

_FINITE = (
    "VBZ",
    "VBD",
    "VBB",
    "VVZ",
    "VVD",
    "VVB",
    "VHZ",
    "VHD",
    "VHB",
    "VDZ",
    "VDD",
    "VDB",
    "VM0",
)
_NOMINAL = ("NN", "NP", "AJ", "AT", "DT0", "DPS", "CRD", "ORD", "POS", "PAR", "UNC", "PNI", "PRF")
_RELATIVE = ("DTQ", "PNQ", "CJT", "AVQ")
_NAMED = ("known", "called", "spelled", "spelt", "written", "romanized", "romanised", "named")


class Clause(NamedTuple):
    """A statement."""

    about: Sequence[Word]
    """Its subject; empty where it is the piece's before."""
    said: list[Word]
    """The predicate, a finite verb first; of an addition a participle or the like."""
    when: list[Word]
    """What stood before the subject, up to a comma."""


def find_pieces(words: Sequence[Word]) -> list[Clause]:
    """The statements of a sentence, in its order; a whole that has no plain subject is none."""
    words = list(words)
    while words and words[-1].text in ".!?":
        words.pop()
    pieces = list[Clause]()
    for part in _split(words, lambda w, at: w[at].text == ";"):
        found = _find_main(part)
        if not found:
            return []
        pieces += found
    whole = all(len(piece.said) > 1 and piece.said[1].text != "," for piece in pieces)
    return pieces if whole else []


def is_finite(word: Word) -> bool:
    """Whether it is a verb with a subject."""
    return word.tag in _FINITE


def _find_main(words: list[Word]) -> list[Clause]:
    when, words = _take_opening(words)
    at = next((i for i, word in enumerate(words) if is_finite(word)), None)
    if not at:
        return []
    adverbs = at
    while adverbs and words[adverbs - 1].has("AV0"):
        adverbs -= 1
    about, names, circumstance = _take_names(words[:adverbs])
    when = when or circumstance
    plain = all(w.has(*_NOMINAL) or w.text in ("and", "or") for w in about)
    if not about or not (plain or (len(about) == 1 and about[0].has("PN", "EX0", "DT"))):
        return []
    if about[0].has("EX0"):
        return []
    be = _be_for(words[at], about)
    said = [name if is_finite(name[0]) else [be, *name] for name in names]
    if when and not when[0].has("PRP", "PRF"):
        opening = [when[0]._replace(text=when[0].text.lower()), *when[1:]]
        said, when = ([*said, [be, *opening]], []) if not when[0].has("AV0") else (said, when)
    main, *more = _split_predicate([words[at], *words[adverbs:at], *words[at + 1 :]])
    rest = [[be, *part] if part[0].has("VVN", "VVG") else part for part in more]
    told = [*(Clause([], part, []) for part in said), Clause([], main, when)]
    return [told[0]._replace(about=about), *told[1:], *(Clause([], part, []) for part in rest)]


def _be_for(verb: Word, about: Sequence[Word]) -> Word:
    """`is` or `was`, as the clause's own verb is; it has no plain form, since nobody wrote it."""
    many = about[-1].has("NN2") or about[0].text.lower() in ("they", "these", "those")
    if verb.has("VBD", "VVD", "VHD", "VDD"):
        plural = verb.text == "were" or (many and not verb.has("VBD"))
        return Word("were" if plural else "was", "VBD", glued=False)
    plural = verb.text in ("are", "have", "do") or verb.has("VVB") or (many and verb.has("VM0"))
    return Word("are" if plural else "is", "VBB" if plural else "VBZ", glued=False)


class _Opened(NamedTuple):
    when: list[Word]
    rest: list[Word]


def _take_opening(words: list[Word]) -> _Opened:
    """`In 1966, she …`: a preposition's phrase up to the first comma, without a verb."""
    comma = next((i for i, word in enumerate(words) if word.text == ","), 0)
    opening = words[:comma]
    rest = words[comma + 1 :]
    finite = next((i for i, w in enumerate(rest) if is_finite(w)), 0)
    if not opening or not rest or not finite or any(w.text == "," for w in rest[:finite]):
        return _Opened([], words)
    verbs = [w for w in opening if w.has("VV", "VB", "VM", "VH") or w.has(*_RELATIVE)]
    subject = rest[0].has("AT", "NN", "NP", "PNP", "DPS", "AJ", "DT0")
    by_preposition = not verbs and (
        opening[0].has("PRP") or (len(opening) == 1 and opening[0].has("AV0"))
    )
    by_participle = opening[0].has("VVN", "VVG") and verbs == opening[:1] and len(opening) > 1
    by_name = opening[0].has("AT") and not verbs and (rest[0].has("PNP") or finite == 1)
    if subject and (by_preposition or by_participle or by_name):
        return _Opened(opening, rest)
    return _Opened([], words)


class _Named(NamedTuple):
    about: list[Word]
    said: list[list[Word]]
    """What stands between its commas, as predicates."""
    when: list[Word]


def _take_names(subject: list[Word]) -> _Named:
    """`Yangon, also known as Rangoon,`: the subject, and what stands between commas after it."""
    commas = [i for i, word in enumerate(subject) if word.text == ","]
    if len(commas) < 2 or commas[-1] != len(subject) - 1:
        return _Named(subject, [], [])
    about, inside = subject[: commas[0]], subject[commas[0] + 1 : commas[-1]]
    said = next((i for i, word in enumerate(inside) if not word.has("AV", "CJC")), len(inside))
    rest, unknown = inside[said:], _Named(subject, [], [])
    if rest and rest[0].text in _NAMED:
        parts = _split(inside, lambda w, at: w[at].text == "," and _names_next(w, at))
        return _Named(about, [_drop_and(part) for part in parts], [])
    if not rest or len(commas) > 2:
        return unknown
    if rest[0].has(*_RELATIVE) and len(rest) > 2 and is_finite(rest[1]) and not said:
        return _Named(about, [rest[1:]], [])
    if any(is_finite(w) or w.has("VV", *_RELATIVE) for w in rest):
        return unknown
    if rest[0].has("PRP") and not said:
        return _Named(about, [], rest)
    if not rest[0].has(*_NOMINAL):
        return unknown
    if said:
        adverbs = [w for w in inside[:said] if w.has("AV")] or [Word("also", "AV0", glued=False)]
        return _Named(about, [[*adverbs, Word("called", "VVN", glued=False), *rest]], [])
    return _Named(about, [rest], []) if rest[0].has("AT") else unknown


def _names_next(words: Sequence[Word], at: int) -> bool:
    """Whether another `known as` follows a comma."""
    rest = (w for w in words[at + 1 :] if not w.has("AV", "CJC"))
    following = next(rest, None)
    return following is not None and following.text in _NAMED


def _drop_and(words: list[Word]) -> list[Word]:
    return words[1:] if words and words[0].has("CJC") else words


def _split_predicate(words: list[Word]) -> list[list[Word]]:
    """At `and` with a finite verb after it, at participles after a comma, at relative clauses."""
    cuts, related = [0], False
    for at in range(1, len(words)):
        word, before = words[at], words[at - 1]
        if word.has(*_RELATIVE):
            related = related or not _tells_of_subject(words, at)
            if not related:
                cuts.append(at)
        elif is_finite(word) and before.has("CJC") and not related:
            cuts.append(at - 1)
        elif word.has("VVN", "VVG") and before.text == "," and not related and _is(words[0]):
            if at + 2 < len(words) and words[at + 1].has("PRP", "AT", "TO0", "CJS"):
                cuts.append(at)
        elif word.has("VVN") and not related and _is(words[0]) and _describes(words, at):
            cuts.append(at)
    parts = [words[a:b] for a, b in zip(cuts, [*cuts[1:], len(words)], strict=True)]
    return [clean for part in parts if (clean := _strip(part))]


def _describes(words: Sequence[Word], at: int) -> bool:
    """`X is an N made of …`: a participle next to N, which no preposition parts from the verb."""
    before = words[1:at]
    return (
        bool(before)
        and before[-1].has("NN")
        and at + 2 < len(words)
        and words[at + 1].has("PRP")
        and not any(w.has("PR", "CJC", "VV", "CRD") or w.text == "," for w in before)
    )


def _tells_of_subject(words: Sequence[Word], at: int) -> bool:
    """`X is an N that …`: what is said of N is said of X, where N is surely meant."""
    verb = at + 1
    while verb < len(words) and words[verb].has("AV0"):
        verb += 1
    if not _is(words[0]) or verb + 1 >= len(words) or not is_finite(words[verb]):
        return False
    before = [w for w in words[1:at] if w.text != ","]
    nouns = [w for w in before if w.has("NN", "NP")]
    if not nouns or any(is_finite(w) or w.has("VV") for w in before):
        return False
    if not any(w.has("PR", "CJC") for w in before):
        return True
    head = next((a for a, b in pairwise(before) if a.has("NN") and b.has("PR")), None)
    if head is None or any(w.has("CJC") for w in before):
        return False
    singular = words[verb].has("VVZ", "VBZ", "VHZ")
    plural = words[verb].has("VVB", "VBB", "VHB")
    return (singular and head.tag == "NN1" and nouns[-1].tag == "NN2") or (
        plural and head.tag == "NN2" and nouns[-1].tag == "NN1"
    )


def _is(word: Word) -> bool:
    return word.has("VBZ", "VBD", "VBB")


def _strip(words: list[Word]) -> list[Word]:
    while words and (words[0].text == "," or words[0].has("CJC", *_RELATIVE)):
        words = words[1:]
    while words and words[-1].text == ",":
        words = words[:-1]
    verb = next((i for i, word in enumerate(words) if not word.has("AV0")), 0)
    if verb and is_finite(words[verb]):
        words = [words[verb], *words[:verb], *words[verb + 1 :]]
    return words


def _split(
    words: Sequence[Word], parts_at: Callable[[Sequence[Word], int], bool]
) -> list[list[Word]]:
    parts: list[list[Word]] = [[]]
    for at, word in enumerate(words):
        if parts_at(words, at):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]
