"""Personal data and secrets, replaced by placeholders."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.personal import KINDS, PersonalKind

_PEM = re.compile(r"-----(BEGIN|END) (?:[A-Z]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_HINT = "PRIVATE KEY"


class _Step(NamedTuple):
    """A kind, what no text of it lacks, and its replacement."""

    name: str
    hint: str
    replace: Callable[[Sequence[str]], Iterator[tuple[str, int]]]


class Redacted(NamedTuple):
    """A text without personal data."""

    text: str
    counts: dict[str, int]
    """Replacements by kind."""


def redact_all(texts: pl.Series) -> tuple[pl.Series, list[dict[str, int]]]:
    """`redact` on many texts: what it leaves of them, and each one's replacements by kind.

    Kind after kind, each looked for in what the ones before left: a placeholder may bring together
    what stood apart.
    """
    counts = [dict.fromkeys((kind.name for kind in KINDS), 0) for _ in range(len(texts))]
    hinted_KN = _find_hints(texts)
    left: dict[int, str] = {}
    for number, step in enumerate(_STEPS):
        places = np.flatnonzero(hinted_KN[number]).tolist()
        if not places:
            continue
        replaced = step.replace(
            [left[place] if place in left else texts[place] for place in places]
        )
        changed = {}
        for place, (text, count) in zip(places, replaced, strict=True):
            counts[place][step.name] += count
            if count:
                changed[place] = text
        if changed:
            left |= changed
            hinted_KN[:, list(changed)] = _find_hints(pl.Series(list(changed.values())))
    redacted = pl.Series(list(left.values()), dtype=pl.String)
    return texts.clone().scatter(list(left), redacted), counts  # which would change its own


def _find_hints(texts: pl.Series) -> NDArray[np.bool_]:
    """Which texts hold a hint of each kind, (K, N)."""
    column = pl.col("text").str
    looks = (column.contains(step.hint).alias(str(place)) for place, step in enumerate(_STEPS))
    return texts.alias("text").to_frame().select(*looks).to_numpy().T.copy()


def redact(text: str) -> Redacted:
    """Replace addresses, numbers of persons and keys; placeholders stay as they are."""
    texts, (counts,) = redact_all(pl.Series([text], dtype=pl.String))
    return Redacted(texts[0], counts)


def _replace_all_blocks(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    return map(_replace_blocks, texts)


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


def _replace(kind: PersonalKind, texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Looks at lines that hold the hint alone, since none of the patterns goes beyond a line."""
    split = [text.split("\n") for text in texts]
    every = pl.Series([line for lines in split for line in lines], dtype=pl.String)
    hinted = iter(every.str.contains(kind.hint).to_list())
    for text, lines in zip(texts, split, strict=True):
        parts: list[str] = []
        done = start = 0
        for line, is_hinted in zip(lines, hinted, strict=False):
            end = start + len(line)
            found = kind.pattern.finditer(text, start, end) if is_hinted else ()
            for match in filter(kind.is_personal, found):
                parts += [text[done : match.start()], f"<{kind.name.upper()}>"]
                done = match.end()
            start = end + 1
        yield "".join([*parts, text[done:]]), len(parts) // 2


_STEPS: tuple[_Step, ...] = (
    _Step("key", _PEM_HINT, _replace_all_blocks),
    *(_Step(kind.name, kind.hint, functools.partial(_replace, kind)) for kind in KINDS),
)
