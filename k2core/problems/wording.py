"""Tools in words drawn anew for each training problem, so that a model must read what is declared.

A model that always sees `get_phone` learns the name by heart and calls it where another is
declared. K2's tools are tens of thousands (arXiv:2507.20534, section 3.1.1); a few families get
as many by their names, arguments and descriptions.
"""

import random
from collections.abc import Collection, Mapping

from k2core.problems.respelling import Role, Spelling, respell
from k2core.problems.unseen import UNSEEN_WORDS
from k2core.problems.words import ARGUMENT_WORDS, ITEMS, TEAMS, TOOL_WORDS, WORDS
from schemas.chat import Problem

_DESCRIPTIONS: Mapping[str, tuple[str, ...]] = {
    "add": ("Add two numbers.", "The sum of two numbers.", "Adds one number to another."),
    "multiply": (
        "Multiply two numbers.",
        "The product of two numbers.",
        "One number times another.",
    ),
    "larger": (
        "The larger of two numbers.",
        "Which number is more.",
        "The maximum of two numbers.",
    ),
    "read": ("Read the {what}.", "Look up the {what}.", "Returns a {what}.", "Find the {what}."),
    "old": ("An old copy of the {what}.", "Reads an old {what}.", "The {what} from a backup."),
    "move": ("Move coins.", "Send coins to a person."),
    "read_balance": ("Coins of a person.", "Reads a balance."),
}
_ROLES = {
    "from": ("from", "source", "sender", "origin"),
    "to": ("to", "target", "taker", "goal"),
    "amount": ("amount", "coins", "sum", "value"),
}
"""Arguments that are told apart by what they mean."""
_KNOWN = tuple(dict.fromkeys((*TOOL_WORDS, *ARGUMENT_WORDS, *WORDS, *ITEMS, *TEAMS)))
_LONGEST = 9


def draw_words(problem: Problem, rng: random.Random, coined_frac: float) -> Problem:
    """The problem with its tools declared in words of their own, some of them coined."""
    taken: set[str] = set()

    def spell(role: Role) -> Spelling:
        # The name of a tool that reads says what; an old copy is told by its description alone.
        ending = f"_{role.what}" if role.operation in ("read", "old") else ""
        (name,) = _draw_several(1, rng, coined_frac, ending, taken)
        taken.add(name)
        arguments = _draw_arguments(role.num_arguments, rng, coined_frac)
        return Spelling(
            name,
            rng.choice(_DESCRIPTIONS[role.operation]).format(what=role.what),
            arguments,
            shown=tuple(rng.sample(arguments, len(arguments))),
        )

    return respell(problem, spell).problem


def _draw_arguments(count: int, rng: random.Random, coined_frac: float) -> tuple[str, ...]:
    if count == len(_ROLES):
        return tuple(rng.choice(words) for words in _ROLES.values())
    return _draw_several(count, rng, coined_frac)


def _draw_several(
    count: int,
    rng: random.Random,
    coined_frac: float,
    ending: str = "",
    taken: Collection[str] = (),
) -> tuple[str, ...]:
    drawn: list[str] = []
    while len(drawn) < count:
        word = _coin(rng) if rng.random() < coined_frac else rng.choice(_KNOWN)
        if word not in UNSEEN_WORDS and f"{word}{ending}" not in (*drawn, *taken):
            drawn.append(f"{word}{ending}")
    return tuple(drawn)


def _coin(rng: random.Random) -> str:
    """The beginning of a word with the end of another.

    Of a closed list alone a small model learns which word follows from its first letters.
    """
    first, second = rng.choice(_KNOWN), rng.choice(_KNOWN)
    begin = first[: rng.randint(1, max(1, len(first) - 1))]
    return (begin + second[rng.randint(1, max(1, len(second) - 1)) :])[:_LONGEST].rstrip("_")
