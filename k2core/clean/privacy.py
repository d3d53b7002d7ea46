"""Personal data and secrets, replaced by placeholders."""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b")
_IP = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
)
_PHONE = re.compile(
    r"(?<![\w.+(-])(?:"
    r"\+\d{1,3}(?:[ .-]?\(?\d{2,4}\)?){2,4}"  # +49 30 1234 5678
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}"  # (555) 123-4567
    r"|\d{3}-\d{3}-\d{4}"  # 555-123-4567
    r")(?![\w-])"
)
_PEM = re.compile(r"-----(BEGIN|END) (?:[A-Z]{1,20} ){0,3}PRIVATE KEY-----")
_KEY = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{40,}\b"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}"
)
_RESERVED_DOMAINS = ("example.com", "example.org", "example.net", ".example", ".invalid", ".test")


# What every pattern above needs; most texts hold none of it, and are passed over at once.
_MAYBE = (
    r"@|\d\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]|\+\d|\(\d{3}\)"
    r"|\d{3}-\d{3}-\d{4}|PRIVATE KEY|AKIA|ASIA|gh[pousr]_|github_pat_|sk-|hf_|xox|AIza"
)


class Redacted(NamedTuple):
    """A text without personal data."""

    text: str
    counts: dict[str, int]
    """Replacements by kind."""


def redact_all(texts: pl.Series) -> tuple[pl.Series, list[dict[str, int]]]:
    """`redact` on many texts: what it leaves of them, and each one's replacements by kind."""
    nothing = dict.fromkeys((kind for kind, _, _ in _KINDS), 0)
    found = texts.str.contains(_MAYBE).to_numpy()
    places = [int(place) for place in found.nonzero()[0]]
    redacted = [redact(text) for text in texts.gather(places).to_list()]
    counts = [nothing] * len(texts)
    for place, each in zip(places, redacted, strict=True):
        counts[place] = each.counts
    changed = pl.Series([each.text for each in redacted], dtype=pl.String)
    return (texts.scatter(places, changed) if places else texts), counts


def redact(text: str) -> Redacted:
    """Replace e-mail and IP addresses, phone numbers and keys; placeholders stay as they are."""
    text, num_blocks = _replace_blocks(text)
    counts = {}
    for kind, pattern, is_personal in _KINDS:
        text, counts[kind] = _replace(text, pattern, f"<{kind.upper()}>", is_personal)
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


def _replace(
    text: str, pattern: re.Pattern[str], placeholder: str, is_personal: Callable[[str], bool]
) -> tuple[str, int]:
    count = 0

    def write(match: re.Match[str]) -> str:
        nonlocal count
        if not is_personal(match[0]):
            return match[0]
        count += 1
        return placeholder

    return pattern.sub(write, text), count


def _is_mailbox(text: str) -> bool:
    # Names reserved for documentation (RFC 2606) are nobody's.
    return not text.lower().endswith(_RESERVED_DOMAINS)


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("key", _KEY, lambda _: True),
    ("email", _EMAIL, _is_mailbox),
    ("ip", _IP, _is_public),
    ("phone", _PHONE, lambda _: True),
)
