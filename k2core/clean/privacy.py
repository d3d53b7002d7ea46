"""Personal data and secrets, replaced by placeholders."""

import re
from typing import NamedTuple

import polars as pl

from k2core.clean.personal import KINDS, MAYBE, PersonalKind

_PEM = re.compile(r"-----(BEGIN|END) (?:[A-Z]{1,20} ){0,3}PRIVATE KEY-----")


class Redacted(NamedTuple):
    """A text without personal data."""

    text: str
    counts: dict[str, int]
    """Replacements by kind."""


def redact_all(texts: pl.Series) -> tuple[pl.Series, list[dict[str, int]]]:
    """`redact` on many texts: what it leaves of them, and each one's replacements by kind."""
    nothing = dict.fromkeys((kind.name for kind in KINDS), 0)
    found = texts.str.contains(MAYBE).to_numpy()
    places = [int(place) for place in found.nonzero()[0]]
    redacted = [redact(text) for text in texts.gather(places).to_list()]
    counts = [nothing] * len(texts)
    for place, each in zip(places, redacted, strict=True):
        counts[place] = each.counts
    changed = pl.Series([each.text for each in redacted], dtype=pl.String)
    return (texts.scatter(places, changed) if places else texts), counts


def redact(text: str) -> Redacted:
    """Replace addresses, numbers of persons and keys; placeholders stay as they are."""
    text, num_blocks = _replace_blocks(text)
    counts = {}
    for kind in KINDS:
        text, counts[kind.name] = _replace(text, kind)
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
    count = 0

    def write(match: re.Match[str]) -> str:
        nonlocal count
        if not kind.is_personal(match):
            return match[0]
        count += 1
        return f"<{kind.name.upper()}>"

    return kind.pattern.sub(write, text), count
