"""A customer by rule in place of tau2-bench's, whom a language model plays.

It tells what the benchmark's scenario gives its user, in the scenario's own words turned to the
first person: why it calls at once, who it is when it is asked anything, what else it was told to
want after that, and then it agrees to whatever it is asked. It knows no conditions ("if the agent
refuses, ..."): they are told with the rest.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TURNS = (
    (r"you['’]re|you are", "I am"),
    (r"you were", "I was"),
    (r"you['’]ve", "I have"),
    (r"you['’]d", "I would"),
    (r"you['’]ll", "I will"),
    (r"yourself", "myself"),
    (r"yours", "mine"),
    (r"your", "my"),
    (r"(?<=\bto )you|(?<=\bfor )you|(?<=\bwith )you|(?<=\bof )you|(?<=\bfrom )you", "me"),
    (r"(?<=\btell )you|(?<=\bgive )you|(?<=\bask )you|(?<=\blet )you|(?<=\boffer )you", "me"),
    (r"(?<=\bhelp )you|(?<=\btells )you|(?<=\bgives )you|(?<=\basks )you|(?<=\boffers )you", "me"),
    (r"you", "I"),
)
_RULES = tuple((re.compile(rf"\b(?:{old})\b", re.IGNORECASE), new) for old, new in _TURNS)
_QUESTION = re.compile(
    r"\?|\b(?:please (?:provide|share|tell|confirm|reply|give|let me know)|could you|can you"
    r"|may i (?:have|ask)|i(?:'ll| will)? need (?:your|to know|you)|let me know)\b",
    re.IGNORECASE,
)
_CONSENT = re.compile(
    r"\b(?:confirm|proceed|go ahead|yes/no|\(yes|would you like|do you want|shall i|should i"
    r"|is (?:that|this) (?:correct|right|ok(?:ay)?)|agree)\b",
    re.IGNORECASE,
)
_MOST_AGREED = 8
"""Times that it agrees; an agent that asks more often asks without end."""
AGREES = "Yes, please go ahead."
KNOWS_NO_MORE = "I have told you all that I know. Please go ahead with what you think is right."


class CustomerBrief(NamedTuple):
    """What the benchmark tells its user."""

    reason: str
    known: str
    unknown: str
    instructions: str


def as_first_person(text: str) -> str:
    """A text that is addressed to the user, as the user would say it: by rule, not by grammar."""
    for rule, new in _RULES:
        text = rule.sub(new, text)
    return " ".join(text.split())


class ScriptedCustomer:
    """One customer; what it says follows from its scenario and from what was said to it.

    Args:
        scenario: the benchmark's.
    """

    def __init__(self, scenario: CustomerBrief) -> None:
        self.opening = as_first_person(scenario.reason)
        self._left = self._facts(scenario)
        self._agreed = 0

    def reply(self, said: str) -> str | None:
        """An answer to the agent; None ends the dialogue: all was told, and nothing is asked."""
        more = next(self._left, None)
        if more is not None:
            return f"{AGREES} {more}" if _CONSENT.search(said) else more
        if not _QUESTION.search(said) or self._agreed == _MOST_AGREED:
            return None
        self._agreed += 1
        return AGREES if _CONSENT.search(said) else KNOWS_NO_MORE

    @staticmethod
    def _facts(scenario: CustomerBrief) -> Iterator[str]:
        """Who it is with what it does not know, then what it was told to want."""
        known = as_first_person(f"{scenario.known}\n{scenario.unknown}")
        return iter([text for text in (known, as_first_person(scenario.instructions)) if text])
