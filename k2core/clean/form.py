"""The form that all texts are brought to."""

import re
import unicodedata

import polars as pl

_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0e-\x1f\x7f\u00ad\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff]"
)
_ASCII_CONTROL = bytes({*range(32), 127} - set(b"\t\n\f"))
_MARKS = r"(\p{M}{30})\p{M}+"
"""At most 30 combining marks in a row (UAX #15, section 13): normalisation sorts them, slowly."""


def normalise(text: str) -> str:
    """NFC, line feeds only, no signs that nobody sees, no space at the ends of lines."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\f", "\n\n")
    if text.isascii():
        text = text.encode().translate(None, _ASCII_CONTROL).decode()
    else:
        text = _CONTROL.sub("", text)
        text = str(pl.Series([text], dtype=pl.String).str.replace_all(_MARKS, "$1").item())
        text = unicodedata.normalize("NFC", text)
    return "\n".join([line.rstrip() for line in text.split("\n")]).strip("\n")
