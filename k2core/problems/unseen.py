"""The same problems with tools that no training dialogue declares, under other names and words."""

import random
import re
from typing import NamedTuple

from k2core.problems.respelling import Respelt, Role, Spelling, respell
from schemas.chat import Problem


class Vocabulary(NamedTuple):
    """How an operation's tool is called where nobody has seen it."""

    names: tuple[str, ...]
    """`{what}` stands for what the tool is about: the last word of its seen name."""
    description: str


UNSEEN = {
    "add": Vocabulary(("total", "addition"), "Gives the total of two values."),
    "multiply": Vocabulary(("scale", "multiplication"), "Scales a value by another."),
    "larger": Vocabulary(("greater", "top_of"), "Gives the greater value."),
    "read": Vocabulary(("fetch_{what}", "show_{what}"), "Shows the {what} that is on file."),
    "old": Vocabulary(("archived_{what}",), "The {what} as it was archived."),
    "move": Vocabulary(("hand_over", "shift_coins"), "Hands coins over."),
    "read_balance": Vocabulary(("purse", "coins_of"), "Coins that somebody has."),
}
"""By operation; `old` reads an old copy."""
_ARGUMENTS = {
    1: (("key",), ("of",)),
    2: (("first", "second"), ("m", "n")),
    3: (("giver", "receiver", "count"), ("payer", "payee", "number")),
}
"""By how many there are."""
UNSEEN_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        " ".join(
            [name.format(what="") for words in UNSEEN.values() for name in words.names]
            + [name for spellings in _ARGUMENTS.values() for names in spellings for name in names]
        ),
    )
)
"""What no training problem may call a tool or an argument."""


def with_unseen_tools(problem: Problem) -> Respelt:
    """Rename every tool of a generated problem; what it does, and all else, stays as it is.

    Raises:
        ValueError: a tool that `UNSEEN` has no words for.
    """
    rng = random.Random(f"unseen {problem.problem_id}")
    # One draw a problem: a live server and its old copy take the same.
    spelt = {count: rng.choice(spellings) for count, spellings in _ARGUMENTS.items()}

    def spell(role: Role) -> Spelling:
        if role.operation not in UNSEEN:
            raise ValueError(f"no unseen words for the operation {role.operation}")
        words = UNSEEN[role.operation]
        return Spelling(
            rng.choice(words.names).format(what=role.what),
            words.description.format(what=role.what),
            spelt[role.num_arguments],
        )

    return respell(problem, spell)
