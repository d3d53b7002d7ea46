"""Multiple choice: which letter an answer commits itself to."""

import re
import unicodedata
from collections.abc import Sequence

from k2core.problems.marked import marked_answer
from k2core.rewards.outcome import Outcome
from k2core.sandbox import CodeRunner, Verdict
from schemas.chat import Problem

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKUP = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]{0,200})\}|[*`$]|\\[ ()\[\],;]?")
_SAID = re.compile(
    r"(?:\b(?:answer|option|choice)\b\"?(?: would| must| should)?[^\S\n]*(?:is|be|:|=)"
    r"|\b(?:must be|choose|pick|select|go with)\b|\u7b54\u6848(?:[\u662f\u4e3a:]))"
    r"[:\s]*(?=([^\n]{0,400}))",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"(?:(?i:so|thus|hence|therefore)\W{1,2})?(?i:(?:the )?(?:option|choice|answer)\W{1,3})?\"?"
    r"(?:[(\[]([A-Z])[)\]](?!\s*\?)|([A-Z])"
    r"(?=[^\w?]*$|[.):,\]](?!\s*\?)| is (?:the )?(?:correct|right|best)\b))"
)
_ANY = re.compile(r"\b[A-Z]\b")
_LOWER = re.compile(r"[(\[]?([a-z])[)\].]*")
_OTHER = re.compile(r"(?:,|/|&|;|\b(?:or|and)\b)[^\S\n]*[(\[]?([A-Z])(?!\w)")


def check_choice(problem: Problem, outcome: Outcome, _: CodeRunner | None) -> Verdict:
    """`{"answer": "B"}`, with `"choices": [...]` also by its text: the letter that is chosen."""
    wanted, choices = problem.expected["answer"], problem.expected.get("choices", [])
    if not isinstance(wanted, str) or wanted not in _LETTERS or len(wanted) != 1:
        raise ValueError(f"answer {wanted!r} is not a letter from A to Z")
    if not isinstance(choices, list):
        raise TypeError(f"choices {choices!r} are no list")
    if outcome.answer is None:
        return Verdict(0.0, "no_answer")
    chosen = find_choice(outcome.answer, [str(choice) for choice in choices])
    if chosen is None:
        return Verdict(0.0, "no_choice")
    return Verdict(1.0) if chosen == wanted else Verdict(0.0, "wrong_answer")


def find_choice(text: str, choices: Sequence[str] = ()) -> str | None:
    r"""The letter that a text chooses: in its marks, else where it says so, else in a line of it.

    `B`, `(B)`, `B. Paris`, `The answer is B.`, `\boxed{\textbf{(B)} 7}`, or the choice's own
    words; None where it chooses none, or several.
    """
    marked = marked_answer(text)
    if marked is not None:
        return _read(marked, choices)
    plain = _plain(text[-20_000:])
    for said in reversed(_SAID.findall(plain)):
        if (letter := _read(str(said), choices)) or _ANY.search(str(said)):
            return letter
    lines = [line for line in plain.splitlines() if line.strip()]
    return next((c for line in (lines[-1:] + lines[:1]) if (c := _read(line, choices))), None)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    return _MARKUP.sub(lambda match: match[1] or "", text)


def _read(said: str, choices: Sequence[str]) -> str | None:
    said = _plain(said).strip()
    for letter, choice in zip(_LETTERS, choices, strict=False):
        if _bare(said) == _bare(_plain(choice)) != "":
            return letter
    found = _LETTER.match(said)
    if found is None:
        lower = _LOWER.fullmatch(said)
        return lower[1].upper() if lower else None
    letter, rest = found[1] or found[2], said[found.end() :]
    others = {other for other in _OTHER.findall(rest[:40]) if other != letter}
    return None if others else letter


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(" .\"'").casefold()
