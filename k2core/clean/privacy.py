"""Personal data and secrets, replaced by placeholders."""

import itertools
import re
from collections.abc import Collection
from typing import NamedTuple

import polars as pl

from k2core.clean.personal import KINDS, PersonalKind

_PEM = re.compile(r"-----(BEGIN|END) (?:[A-Z]{1,20} ){0,3}PRIVATE KEY-----")
_PEM_HINT = "PRIVATE KEY"


class Redacted(NamedTuple):
    """A text without personal data."""

    text: str
    counts: dict[str, int]
    """Replacements by kind."""


def redact_all(texts: pl.Series) -> tuple[pl.Series, list[dict[str, int]]]:
    """`redact` on many texts: what it leaves of them, and each one's replacements by kind."""
    hinted: dict[int, set[str]] = {}
    for name, hint in (("", _PEM_HINT), *((kind.name, kind.hint) for kind in KINDS)):
        for place in texts.str.contains(hint).arg_true().to_list():
            hinted.setdefault(place, set()).add(name)
    places = sorted(hinted)
    rows = zip(places, texts.gather(places).to_list(), strict=True)
    redacted = [_redact(text, hinted[place]) for place, text in rows]
    counts = [dict.fromkeys((kind.name for kind in KINDS), 0)] * len(texts)
    for place, each in zip(places, redacted, strict=True):
        counts[place] = each.counts
    changed = pl.Series([each.text for each in redacted], dtype=pl.String)
    return (texts.scatter(places, changed) if places else texts), counts


def redact(text: str) -> Redacted:
    """Replace addresses, numbers of persons and keys; placeholders stay as they are."""
    return _redact(text, {kind.name for kind in KINDS})


def _redact(text: str, hinted: Collection[str]) -> Redacted:
    """Look for the kinds that are hinted at.

    Once anything is replaced for all that are left, too: a placeholder may bring together what
    stood apart.
    """
    text, num_blocks = _replace_blocks(text)
    counts = {}
    changed = num_blocks > 0
    for kind in KINDS:
        looked = changed or kind.name in hinted
        text, counts[kind.name] = _replace(text, kind) if looked else (text, 0)
        changed = changed or counts[kind.name] > 0
    counts["key"] += num_blocks
    return Redacted(text, counts)


def _replace_blocks(text: str) -> tuple[str, int]:
    """Private keys from the first opening to its end; one without an end stays as it is.

    Marks are walked once: a pattern that looks for each opening's end takes quadratic time.
    """
    parts: list[str] = []
    done, opened = 0, None
    for mark in _PEM.finditer(text):
        if mark[1] == "BEGIN":
            opened = mark.start() if opened is None else opened
        elif opened is not None:
            parts += [text[done:opened], "<KEY>"]
            done, opened = mark.end(), None
    return "".join([*parts, text[done:]]), len(parts) // 2


def _replace(text: str, kind: PersonalKind) -> tuple[str, int]:
    """Looks at lines that hold the hint alone, since none of the patterns goes beyond a line."""
    lines = text.split("\n")
    ends = list(itertools.accumulate(len(line) + 1 for line in lines))
    parts: list[str] = []
    done = 0
    for number in pl.Series(lines).str.contains(kind.hint).arg_true().to_list():
        start, end = ends[number] - len(lines[number]) - 1, ends[number] - 1
        for match in kind.pattern.finditer(text, start, end):
            if kind.is_personal(match):
                parts += [text[done : match.start()], f"<{kind.name.upper()}>"]
                done = match.end()
    return "".join([*parts, text[done:]]), len(parts) // 2
