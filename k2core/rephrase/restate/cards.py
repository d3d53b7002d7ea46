"""Prose as questions and answers: each asks for the complement of one of the source's clauses."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from k2core.rephrase.chunks import split_heading, split_sections, split_sentences
from k2core.rephrase.restate.clauses import Clause, find_pieces
from k2core.rephrase.restate.lists import turn_lists
from k2core.rephrase.restate.notes import note_piece, shorten
from k2core.rephrase.restate.words import Word, capitalise, join, tag

_ASKABLE = ("AT", "NN", "NP", "DPS", "DT0", "AJ", "CRD", "ORD")
_DO = {"VVZ": "does", "VVB": "do", "VVD": "did", "VHZ": "does", "VHB": "do", "VHD": "did"}
_OFTEN = ("also", "often", "sometimes", "always", "once", "still", "now", "then", "therefore")
_BY_THINGS = ("surrounded", "bordered", "bounded", "caused", "preceded", "followed", "drained")
_PERSON = re.compile(r"(?:^|[.,;] )(?:He|She)\b|, s?he\b")


class Card(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


def write_cards(text: str) -> str:
    """Headings stay; each statement becomes a question with its answer, or else a note."""
    parts = []
    for section in split_sections(text):
        heading, body = split_heading(section)
        parts.append("\n".join([*([f"{heading}\n"] if heading else []), *_ask_all(heading, body)]))
    return "\n\n".join(parts)


def _ask_all(heading: str, body: str) -> list[str]:
    """The lines of a section."""
    person, topic = bool(_PERSON.search(body)), Topic()
    sentences = split_sentences(body)
    inside = " ".join(text.partition(" ")[2] for text in (heading, *sentences))
    names = frozenset(re.findall(r"\b[A-Z]\w+", inside))
    lines, asked = list[str](), set[str]()
    for sentence in sentences:
        pieces = find_pieces(tag(sentence))
        if not pieces:
            lines.append(sentence)
            topic = topic.leave()
        for piece in pieces:
            topic = topic.turn_to(piece.about)
            card = ask(piece._replace(about=topic.named), person, names)
            if card is None:
                lines.append(f"{note_piece(piece, heading)}.")
                continue
            question = card.question
            if question in asked:
                question = re.sub("^(What|Who) ", r"\1 else ", question)
            asked.add(card.question)
            lines += [question, card.answer]
    return lines


class Topic(NamedTuple):
    """What a section speaks of, for pronouns."""

    first: tuple[Word, ...] = ()
    """The subject that it begins with."""
    named: tuple[Word, ...] = ()
    """The subject of the clause: for a pronoun the first one, if the clause before had it too."""
    on: bool = True
    """Whether no other subject came between."""

    def turn_to(self, about: Sequence[Word]) -> "Topic":
        """The next clause."""
        if not about:
            return self
        if not self.first:
            return Topic(tuple(about), tuple(about), on=True)
        if about[0].has("PNP"):
            many = self.first[-1].has("NN2") or any(w.has("CJC") for w in self.first)
            fits = self.on and many == (about[0].text.lower() == "they")
            return self._replace(named=self.first if fits else tuple(about))
        same = about[-1].text.lower() == self.first[-1].text.lower()
        return self._replace(named=tuple(about), on=same)

    def leave(self) -> "Topic":
        """After a sentence that was not understood."""
        return self._replace(on=False)


def ask(piece: Clause, person: bool, names: AbstractSet[str] = frozenset()) -> Card | None:
    """The clause as a question for its complement; None where its form is another.

    Args:
        piece: the clause, with its subject.
        person: whether the text speaks of somebody by `he` or `she`.
        names: words with a capital letter within sentences.
    """
    if not piece.about or not piece.said:
        return None
    about = join(_lower(piece.about, names))
    asked = _ask(piece.said, about, person)
    if asked is None:
        return None
    words, rest = asked
    if not rest:
        return None
    when = join(_lower(piece.when, names))
    question = f"{words}{', ' + when if when else ''}?"
    return Card(capitalise(question), f"{capitalise(join(turn_lists(shorten(rest))))}.")


class _Asked(NamedTuple):
    words: str
    """The question, without its end."""
    rest: list[Word]
    """What answers it."""


def _ask(said: Sequence[Word], about: str, person: bool) -> _Asked | None:
    first, rest = said[0], list(said[1:])
    if any(w.has("XX0") for w in said[:3]):
        return None
    often = ""
    while rest and rest[0].has("AV0") and (rest[0].text.endswith("ly") or rest[0].text in _OFTEN):
        often += f" {rest.pop(0).text}"
    if not rest:
        return None
    stem = f"{about}{often}"
    if first.has("VBZ", "VBD", "VBB"):
        return _ask_what_it_is(first, stem, rest, person)
    if first.has("VM0"):
        passive = len(rest) > 1 and rest[0].has("VBI") and rest[1].has("VVN")
        if passive:
            return _strand(f"{first.text} {stem} be {rest[1].text}", rest[2:])
        return (
            _strand(f"{first.text} {stem} {rest[0].text}", rest[1:]) if rest[0].has("VVI") else None
        )
    return _strand(f"{_DO[first.tag]} {stem} {first.lemma}", rest) if first.tag in _DO else None


def _ask_what_it_is(first: Word, stem: str, rest: list[Word], person: bool) -> _Asked | None:
    """After `is`: a noun, a participle or a quality."""
    verb = first.text.lower()
    noun = rest[0].has("AT", "NN", "NP", "DPS", "ORD", "CRD", "AJS")
    if noun or (rest[0].has("AJ") and len(rest) > 1 and rest[1].has("NN", "AJ", "NP")):
        who = (person and stem[0].isupper()) or stem in ("he", "she")
        return _Asked(f"{'who' if who else 'what'} {verb} {stem}", rest)
    if rest[0].has("VVN"):
        return _strand(f"{verb} {stem} {rest[0].text}", rest[1:])
    if rest[0].has("VVG") and not first.lemma:
        do = {"is": "does", "are": "do"}.get(verb, "did")
        return _strand(f"{do} {stem} {rest[0].lemma}", rest[1:])
    return _Asked(f"what {verb} {stem} like", rest) if _is_quality(rest) else None


def _is_quality(words: Sequence[Word]) -> bool:
    """An adjective alone: no noun that it belongs to, and no clause after it."""
    upto = next((i for i, w in enumerate(words) if w.has("PR", "CJC")), len(words))
    plain = not any(w.has("CJT", "CJS", "TO0", "V", "DTQ", "AVQ") for w in words)
    alone = not any(w.has("NN", "NP") for w in words[:upto])
    return words[0].tag == "AJ0" and plain and words[0].text.islower() and alone


def _strand(stem: str, rest: list[Word]) -> _Asked | None:
    """`was it built` and `in 1908`: when was it built; `by Gauss`: who was it built by."""
    if not rest:
        return None
    first, after = rest[0], rest[1:]
    word = first.text.lower()
    if first.has("TO0") and after:
        be = after[0].has("VBI")
        return _Asked(f"what {stem} to {'be' if be else 'do'}", after[1:] if be else after)
    if not first.has("PRP", "PRF", "CJS"):
        return _Asked(f"what {stem}", rest) if first.has(*_ASKABLE) else None
    if after and after[0].has("VVG") and word == "by":
        return _Asked(f"how {stem}", rest)
    if not after or after[0].has("DT", "PRP", "CJ", "AV") or any(w.has("TO0") for w in after):
        return None
    if after[0].has("CRD") and len(after[0].text) == 4 and word in ("in", "since", "until"):
        return _Asked(f"when {stem}", rest)
    who = word == "by" and after[0].has("NP") and stem.split()[-1] not in _BY_THINGS
    return _Asked(f"{'who' if who else 'what'} {stem} {word}", after)


def _lower(words: Sequence[Word], names: AbstractSet[str]) -> list[Word]:
    """Without the capital letter of a sentence's beginning, but of names."""
    named = bool(words) and re.split("[’']", words[0].text)[0] in names
    if (
        not words
        or named
        or words[0].has("NP")
        or words[0].text[1:].upper() == words[0].text[1:] != ""
    ):
        return list(words)
    if len(words) > 1 and words[1].text[0].isupper() and not words[0].has("AT", "DPS", "PRP", "DT"):
        return list(words)
    first = words[0]
    return [first._replace(text=first.text[0].lower() + first.text[1:]), *words[1:]]
