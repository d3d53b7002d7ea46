"""A small world of facts, told in many wordings: rephrasing without a rephraser's own errors.

A person has four facts. A document tells them all: as it came (style 0), or as one of ten rewrites,
each with its own words and order of the facts. A template
cannot invent, so whatever differs between the arms comes from the method (after Allen-Zhu and Li,
arXiv:2309.14316, section 3: what is told in one wording is stored but not found when asked).
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

NUM_STYLES = 10
"""Rewrites of a document; style 0 is the document as it came."""

VALUES = {
    "town": "arven bolm calder dunwich ester fallow grimsby holt ivel jarrow kelso lund morpeth "
    "norden oban perth ripon selby thirsk ulver",
    "trade": "baker cooper dyer fletcher glazier hatter joiner mason miller nailer potter printer "
    "roper saddler slater smith tanner thatcher turner weaver",
    "instrument": "bassoon cello clarinet cornet dulcimer fiddle flute guitar harp horn lute lyre "
    "oboe organ piano shawm trumpet viol viola zither",
    "animal": "badger bear crane crow deer dove falcon fox goat hare heron horse ibex lynx marten "
    "otter owl raven swan wolf",
}
"""What a fact may be; guessing is right once in twenty."""

WORDINGS = {
    "town": (
        "{s} was born in {v}", "{s} came into the world at {v}", "the home of {s} was {v}",
        "{s} grew up a child of {v}", "{v} was where {s} began", "in {v} lived the parents of {s}",
        "{s} first saw daylight near {v}", "people of {v} called {s} their own",
        "the birth of {s} took place at {v}", "as a child {s} knew only {v}",
        "{s} had roots in {v}",
    ),
    "trade": (
        "{s} worked as a {v}", "{s} made a living as a {v}", "the trade of {s} was that of a {v}",
        "{s} earned money being a {v}", "a {v} was what {s} became", "the job of a {v} fed {s}",
        "{s} spent the days as a {v}", "customers knew {s} as a {v}",
        "the guild named {s} a {v}", "after school {s} trained to be a {v}",
        "{s} took up the craft of a {v}",
    ),
    "instrument": (
        "{s} played the {v}", "{s} made music on the {v}", "the {v} was the instrument of {s}",
        "{s} practised on a {v} every evening", "on the {v} nobody matched {s}",
        "a {v} stood in the room of {s}", "{s} took lessons in the {v}",
        "neighbours heard {s} at the {v}", "the sound of the {v} pleased {s}",
        "at feasts {s} performed with a {v}", "{s} owned an old {v}",
    ),
    "animal": (
        "{s} kept a {v}", "{s} shared the house with a {v}", "the companion of {s} was a {v}",
        "{s} fed a {v} each morning", "a {v} followed {s} around", "a tame {v} belonged to {s}",
        "{s} raised a {v} by hand", "visitors met {s} with a {v}",
        "the pet of {s} was a {v}", "years ago {s} found a {v}", "{s} looked after a {v}",
    ),
}  # fmt: skip
"""Eleven wordings a fact, the first the document's own; `{s}` is who, `{v}` the fact."""

QUESTIONS = {
    "town": "question : which place did {s} come from ? answer : {v}",
    "trade": "question : what profession did {s} have ? answer : {v}",
    "instrument": "question : what could {s} play ? answer : {v}",
    "animal": "question : which creature lived with {s} ? answer : {v}",
}
"""The held-out wording: of the people asked about it occurs in no training text."""


class Person(NamedTuple):
    """Somebody and what is true of them."""

    name: str
    facts: dict[str, str]


class Document(NamedTuple):
    """Token ids, and where in them the facts' values are."""

    tokens: list[int]
    answers: list[int]


def make_people(count: int, seed: int) -> list[Person]:
    """People with a name of their own (a word no other has) and drawn facts."""
    rng = random.Random(f"people {seed}")
    values = {kind: words.split() for kind, words in VALUES.items()}
    return [
        Person(f"person{number}", {kind: rng.choice(values[kind]) for kind in values})
        for number in range(count)
    ]


class Language:
    """Words as tokens: one id a word, the same for all seeds and arms."""

    def __init__(self, num_people: int) -> None:
        texts = [text for some in WORDINGS.values() for text in some] + list(QUESTIONS.values())
        words = {w for text in (*texts, *VALUES.values()) for w in text.split()} - {"{s}", "{v}"}
        names = [f"person{number}" for number in range(num_people)]
        self._ids = {w: i for i, w in enumerate(["<s>", ".", *sorted(words), *names])}

    def __len__(self) -> int:
        return len(self._ids)

    def tell(self, person: Person, style: int) -> Document:
        """All facts of a person in a style's words and order."""
        kinds = list(WORDINGS)
        if style:
            random.Random(f"order {style}").shuffle(kinds)
        said = [(WORDINGS[kind][style], person.facts[kind]) for kind in kinds]
        return self._encode(said, person.name)

    def ask(self, person: Person, kind: str) -> Document:
        """A question and its answer; the answer is the last token."""
        return self._encode([(QUESTIONS[kind], person.facts[kind])], person.name, end=False)

    def _encode(self, said: Sequence[tuple[str, str]], name: str, end: bool = True) -> Document:
        words, answers = ["<s>"], []
        for wording, value in said:
            for word in wording.split():
                if word == "{v}":
                    answers.append(len(words))
                words.append({"{s}": name, "{v}": value}.get(word, word))
            words += ["."] if end else []
        return Document([self._ids[word] for word in words], answers)
