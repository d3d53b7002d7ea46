"""A small world of facts, told in many wordings: by templates, or by a model that rewrites them.

A person has four facts. A document tells them all: as it came (style 0), or as one of ten rewrites,
each with its own words and order of the facts. A template cannot invent, so whatever differs
between arms that read templates comes from the method (after Allen-Zhu and Li, arXiv:2309.14316,
section 3: what is told in one wording is stored but not found when asked). A model's rewrites are
free text: they may lose a fact or invent one, which `find_stated` counts.
"""

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

NUM_STYLES = 10
"""Rewrites of a document; style 0 is the document as it came."""

VALUES = {
    "town": "arven bolm calder dunwich ester fallow grimsby holt ivel jarrow kelso lund morpeth "
    "norden oban perth ripon selby thirsk ulver",
    "trade": "baker cooper dyer fletcher glazier hatter joiner mason miller nailer potter printer "
    "roper saddler slater smith tanner thatcher turner weaver",
    "instrument": "bassoon cello clarinet cornet dulcimer fiddle flute guitar harp horn lute lyre "
    "banjo sitar piano shawm trumpet viol viola zither",
    "animal": "badger bear crane crow deer dove falcon fox goat hare heron horse lamb lynx marten "
    "mole rook raven swan wolf",
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


NAMES = (
    "adam adrian agnes alan albert alfred alice amanda amy andrew angela anna anthony arthur "
    "barbara beatrice benjamin bernard betty brenda brian bruce carl carol catherine charles "
    "charlotte christine clara claire daniel david deborah dennis diana donald dorothy douglas "
    "edith edward eleanor elizabeth ellen emily emma eric ernest esther ethan eugene eva evelyn "
    "florence frances francis frank frederick gabriel george gerald gloria gordon grace gregory "
    "hannah harold harry heather helen henry herbert howard hugh ian irene isaac isabel jack "
    "jacob james jane janet jason jennifer jeremy jessica joan john jonathan joseph joshua "
    "joyce judith julia karen keith kenneth kevin laura lawrence leonard lewis linda louis "
    "louise lucy margaret maria martha martin mary matthew michael monica nancy nathan nicholas "
    "nicole nora norman oliver olivia oscar pamela patricia patrick paul peter philip rachel "
    "ralph raymond rebecca richard robert roger ronald rose ruth samuel sandra sarah simon "
    "sophia stanley stephen susan sylvia teresa thomas timothy victor victoria vincent virginia "
    "walter wendy william "
)
"""Common ones: a small rewriter misspells a name that it never saw."""

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_END = "<s>"


class Person(NamedTuple):
    """Somebody and what is true of them."""

    name: str
    facts: dict[str, str]


class Text(NamedTuple):
    """English about a person."""

    person: Person
    text: str


class FactDocument(NamedTuple):
    """Token ids, and where in them the facts' values are first said."""

    tokens: list[int]
    answers: list[int]


def make_people(count: int, seed: int) -> list[Person]:
    """People with a name of their own (a word no other has) and drawn facts.

    Raises:
        ValueError: there are not so many names.
    """
    names = NAMES.split()
    if count > len(names):
        raise ValueError(f"num_taught + num_asked = {count}: there are only {len(names)} names")
    rng = random.Random(f"people {seed}")
    values = {kind: words.split() for kind, words in VALUES.items()}
    return [
        Person(name.capitalize(), {kind: rng.choice(values[kind]) for kind in values})
        for name in rng.sample(names, count)
    ]


def tell(person: Person, style: int) -> Text:
    """All facts of a person in a style's words and order, a sentence each."""
    kinds = list(WORDINGS)
    if style:
        random.Random(f"order {style}").shuffle(kinds)
    said = (_say(WORDINGS[kind][style], person, kind) for kind in kinds)
    return Text(person, " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said))


def ask(person: Person, kind: str) -> Text:
    """A question and its answer; the answer is the last word."""
    return Text(person, _say(QUESTIONS[kind], person, kind))


def _say(wording: str, person: Person, kind: str) -> str:
    value = person.facts[kind]
    return wording.format(s=person.name, v=value.capitalize() if kind == "town" else value)


def find_stated(person: Person, text: str) -> set[str]:
    """The kinds of facts whose value is a word of the text, whatever is said of it."""
    words = set(split_words(text))
    return {kind for kind, value in person.facts.items() if value in words}


def split_words(text: str) -> list[str]:
    """Words in lower case and punctuation marks."""
    return _WORD.findall(text.lower())


class FactLanguage:
    """Words as tokens: one id a word of the texts of a world, the same for all its arms."""

    def __init__(self, texts: Iterable[str]) -> None:
        known = {word for words in VALUES.values() for word in words.split()}
        words = known.union(*map(split_words, texts))
        self._ids = {word: number for number, word in enumerate([_END, *sorted(words)])}

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, told: Text) -> FactDocument:
        """Its words after a mark that a document begins.

        Raises:
            ValueError: a word is none of the language's texts.
        """
        words = [_END, *split_words(told.text)]
        if strange := [word for word in words if word not in self._ids]:
            raise ValueError(f"{strange[0]!r} of {told.text!r} is no word of this language")
        values = [value for value in told.person.facts.values() if value in words]
        return FactDocument(
            [self._ids[word] for word in words], sorted(words.index(value) for value in values)
        )
