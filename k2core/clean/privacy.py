"""Personal data and secrets, replaced by placeholders."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
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
    """`redact` on many texts: what it leaves of them, and each one's replacements by kind.

    Kind after kind, each looked for in what the ones before left: a placeholder may bring together
    what stood apart.
    """
    counts = [dict.fromkeys((kind.name for kind in KINDS), 0) for _ in range(len(texts))]
    texts = _replace_in(texts, _PEM_HINT, _replace_all_blocks, "key", counts)
    for kind in KINDS:
        texts = _replace_in(texts, kind.hint, functools.partial(_replace, kind), kind.name, counts)
    return texts, counts


def redact(text: str) -> Redacted:
    """Replace addresses, numbers of persons and keys; placeholders stay as they are."""
    texts, (counts,) = redact_all(pl.Series([text], dtype=pl.String))
    return Redacted(texts[0], counts)


def _replace_in(
    texts: pl.Series,
    hint: str,
    replace: Callable[[Sequence[str]], Iterator[tuple[str, int]]],
    name: str,
    counts: Sequence[dict[str, int]],
) -> pl.Series:
    """Replace in texts with a hint of it, and count."""
    places = texts.str.contains(hint).arg_true()
    replaced = list(replace(texts.gather(places).to_list()))
    for place, (_, count) in zip(places.to_list(), replaced, strict=True):
        counts[place][name] += count
    changed = [place for place, (_, count) in zip(places, replaced, strict=True) if count]
    left = [text for text, count in replaced if count]
    return texts.scatter(changed, pl.Series(left, dtype=pl.String)) if changed else texts


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
