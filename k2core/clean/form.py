"""The form that all texts are brought to."""

import re
import unicodedata
from collections.abc import Sequence

import polars as pl

_CONTROL = r"[\x00-\x08\x0e-\x1b\x7f\u00ad\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff]"
_MARKS = r"(\p{M}{30})\p{M}+"
"""At most 30 combining marks in a row (UAX #15, section 13): normalisation sorts them, slowly."""
_LINE = r"[\x0b\x1c-\x1e\x85\u2028]"
"""Ends of lines of other times: of word processors, of terminals, Unicode's own."""
_REPLACED = (
    pl.col("text")
    .str.replace_all("\r\n", "\n", literal=True)
    .str.replace_all("\r", "\n", literal=True)
    .str.replace_all("[\f\u2029]", "\n\n")
    .str.replace_all(_LINE, "\n")
    .str.replace_all("\x1f", " ", literal=True)
    .str.replace_all(_CONTROL, "")
    .str.replace_all(_MARKS, "$1")
)
_ODD = re.compile(rf"{_CONTROL[:-1]}{_LINE[1:-1]}\r\f\x1f\u2029]")
_MAYBE_MARKS = re.compile("[\u0300-\U0010ffff]{31}")
"""No text without them has too many marks."""


def normalise(text: str) -> str:
    """NFC, line feeds only, no signs that nobody sees, no space at the ends of lines."""
    odd = _ODD.search(text) or _MAYBE_MARKS.search(text)
    return normalise_all([text])[0] if odd else _finish(text)


def normalise_all(texts: Sequence[str]) -> list[str]:
    """`normalise` on many texts: what is looked for in each sign is looked for in all at once."""
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    return [_finish(text) for text in frame.select(_REPLACED).to_series().to_list()]


def _finish(text: str) -> str:
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    return "\n".join([line.rstrip() for line in text.split("\n")]).strip("\n")
