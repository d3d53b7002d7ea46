"""General: instructions whose following is checked by code."""

import random

from k2core.problems.family import Content, Family, Posed, Say, Script, Statement
from k2core.problems.users import phrase
from k2core.problems.words import NUMBER_WORDS, WORDS


class RepeatWord(Family):
    """A word, so many times."""

    name = "repeat_word"

    def draw(self, rng: random.Random) -> Content:
        """A word, a count and the case."""
        return {
            "word": rng.choice(WORDS),
            "count": rng.randint(2, 6),
            "upper": rng.random() < 0.2,
        }

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        word, count, upper = content["word"], content["count"], content["upper"]
        requests = (
            'Write "{word}" {count} times{case}.',
            'Repeat "{word}" {count} times{case}.',
            'Say "{word}" {number} times{case}.',
        )
        fields = {"word": word, "count": count, "number": NUMBER_WORDS[count]}
        case = " in upper case" if upper else ""
        return Statement(
            phrase(rng, requests, case=case, **fields),
            "instruction",
            {"kind": "equals", "text": gold_repeat(content)},
            f"{word} is written {count} times{case} and nothing else.",
            max_tokens=48,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Write it."""
        yield Say(gold_repeat(posed.content))


class FollowFormat(Family):
    """Two words, joined in a given form."""

    name = "follow_format"

    def draw(self, rng: random.Random) -> Content:
        """Two words and a form."""
        return {"words": rng.sample(WORDS, 2), "form": rng.choice(list(_FORMS))}

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        a, b = content["words"]
        instruction, gold = _FORMS[content["form"]]
        requests = ('Write "{a}" and "{b}" {how}.', 'Give me "{a}" and "{b}" {how}.')
        return Statement(
            phrase(rng, requests, a=a, b=b, how=instruction),
            "instruction",
            {"kind": "equals", "text": gold.format(a=a, b=b, A=a.upper(), B=b.upper())},
            f"Both words are written {instruction}.",
            max_tokens=32,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Write it."""
        yield Say(str(posed.problem.expected["text"]))


class PickWord(Family):
    """One of three words, by its length or place."""

    name = "pick_word"

    def draw(self, rng: random.Random) -> Content:
        """Three words of different lengths, and what is asked."""
        while True:
            words = rng.sample(WORDS, 3)
            if len({len(word) for word in words}) == 3:
                return {"words": words, "which": rng.choice(list(_CHOICES))}

    def identity(self, content: Content) -> object:
        """The words in any order, and what is asked."""
        return [sorted(content["words"]), content["which"]]

    def ask(self, content: Content, rng: random.Random, *, two_turns: bool) -> Statement:
        """In one turn."""
        words, which = content["words"], content["which"]
        gold = _CHOICES[which](words)
        requests = ("Which is the {which} word: {a}, {b} or {c}?", "The {which} of {a}, {b}, {c}?")
        return Statement(
            phrase(rng, requests, which=which, a=words[0], b=words[1], c=words[2]),
            "text_answer",
            {"answer": gold},
            f"The {which} of the words is the whole answer.",
            max_tokens=24,
        )

    def act(self, posed: Posed, *, shortcut: bool) -> Script:
        """Name it."""
        yield Say(str(posed.problem.expected["answer"]))


_FORMS = {
    "comma": ("with a comma between them", "{a}, {b}"),
    "dash": ("with a dash between them", "{a}-{b}"),
    "upper": ("in upper case", "{A} {B}"),
    "lines": ("on two lines", "{a}\n{b}"),
    "reversed": ("in reverse order", "{b} {a}"),
    "brackets": ("in brackets", "[{a} {b}]"),
    "numbered": ("as a numbered list", "1. {a}\n2. {b}"),
    "json": ("as a JSON list", '["{a}", "{b}"]'),
}
_CHOICES = {
    "longest": lambda words: max(words, key=len),
    "shortest": lambda words: min(words, key=len),
    "first": lambda words: words[0],
    "last": lambda words: words[-1],
}


def gold_repeat(content: Content) -> str:
    """The only right answer."""
    word = content["word"].upper() if content["upper"] else content["word"]
    return " ".join([word] * content["count"])
