"""Which written forms are personal data or secrets, and which only look like them."""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

Match = re.Match[str]


class PersonalKind(NamedTuple):
    """A kind of personal data."""

    name: str
    pattern: re.Pattern[str]
    is_personal: Callable[[Match], bool]
    hint: str
    """What every match holds, for Rust's `regex`, which looks for it a hundred times as quickly.

    No word boundaries, which make it slow beyond ASCII; `[^\\s]` for `\\w`, another class there.
    """


_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b")
_IP = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
    r"|(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    r"|(?<![\w:.])[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{1,4}){0,6}::"
    r"(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5})?(?![\w:])"
)
_PHONE = re.compile(
    r"(?<![\w.+(-])(?:"
    r"\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\(?\d{2,4}\)?){1,5}"  # +49 30 1234 5678, +33 1 23 ...
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}"  # (555) 123-4567
    r"|(?:1-)?\d{3}-\d{3}-\d{4}"  # 555-123-4567
    r"|\(?0?\d{2,5}\)?(?:[ ./-]?\d{2,8}){1,4}"  # 030 1234567, where a word says so
    r")(?![\w-])"
)
_SURE_PHONE = re.compile(r"\+.*|\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:1-)?\d{3}-\d{3}-\d{4}")
_KEY = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{40,}\b"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"  # a JSON web token
    r"|\bglpat-[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}\b|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b"
    r"|\bGOCSPX-[\w-]{20,}|\bhooks\.slack\.com/services/[A-Z0-9]{5,}/[A-Z0-9]{5,}/\w{16,}"
    r"|\b(?i:aws_?secret_?(?:access_?)?key)[\"' ]{0,2}[:=][\"' ]{0,3}[A-Za-z0-9/+]{40}(?![\w/+])"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bpypi-[\w-]{50,}|\bdckr_pat_[\w-]{20,}"
    r"|\bdop_v1_[0-9a-f]{64}\b|\bya29\.[\w-]{20,}"
    r"|(?<=://)[^\s/:@<>]{1,64}:[^\s/:@<>]{1,128}(?=@)"  # name and password in an address
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_RESERVED = ("example.com", "example.org", "example.net", "example", "invalid", "test", "localhost")
_NO_MAILBOX = ("git", "hg", "svn", "anonymous", "noreply", "no-reply")
_FILES = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "py", "rb", "go", "php",
     "html", "htm", "xml", "json", "yml", "yaml", "txt", "dll", "exe", "zip", "gz", "tar", "pdf"}
)  # fmt: skip
_NUMBERED = re.compile(
    r"(?:sections?|sect?\.|§+|versions?|ver\.?|v|chapters?|releases?|figures?|fig\.|tables?"
    r"|appendix|steps?|clauses?|rules?|paragraphs?|builds?|firmware|drivers?|articles?|kernel"
    r"|updates?|patch|exercises?|examples?|theorems?)[\s:=#\"'(]{0,3}$"
    r"|(?:[<>!~=]=|\([<>~=]+) ?$|[<>] $|[a-z][/_-]$",  # libfoo (>= 1.2.3.4), Agent/1.2.3.4
    re.IGNORECASE,
)
_TITLE = re.compile(r"\.? +[A-Z][a-z]+")
_CALLED = re.compile(
    r"\b(?:tele?(?:phone|fon)?|phone|fon|mobile?|fax|call|cell|tél(?:éphone)?|rufnummer|whatsapp"
    r"|(?:my|her|his|our|your|their) number is)\b[^\d\n]{0,15}$",
    re.IGNORECASE,
)
_PAID = re.compile(
    r"\b(?:card|visa|mastercard|amex|credit|debit|karte)\b[^\n]{0,30}$", re.IGNORECASE
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}"
)
_NEAR = 40


def _before(match: Match) -> str:
    return match.string[max(0, match.start() - _NEAR) : match.start()]


def _is_mailbox(match: Match) -> bool:
    """Names reserved for documentation (RFC 2606) are nobody's, nor are accounts of programs."""
    name, _, host = match[0].lower().partition("@")
    reserved = any(host == each or host.endswith(f".{each}") for each in _RESERVED)
    return not (reserved or name in _NO_MAILBOX or host.rpartition(".")[2] in _FILES)


def _is_public(match: Match) -> bool:
    """No section or version, of which four numbers look the same."""
    if "." in match[0]:
        begins_line = match.string[max(0, match.start() - 1) : match.start()] in ("", "\n")
        titled = begins_line and _TITLE.match(match.string, match.end())
        if titled or _NUMBERED.search(_before(match)):
            return False
    try:
        return ipaddress.ip_address(match[0]).is_global
    except ValueError:
        return False


def _is_phone(match: Match) -> bool:
    digits = re.sub(r"\D", "", match[0])
    if len(digits) < 9 or digits in ("1234567890", "0123456789"):
        return len(digits) in (7, 8) and _SURE_PHONE.fullmatch(match[0]) is None and _called(match)
    return _SURE_PHONE.fullmatch(match[0]) is not None or (len(digits) < 16 and _called(match))


def _called(match: Match) -> bool:
    return _CALLED.search(_before(match)) is not None


def _is_iban(match: Match) -> bool:
    """Its check digits are right (ISO 13616)."""
    text = match[0].replace(" ", "")
    moved = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return 15 <= len(text) <= 34 and int(moved) % 97 == 1


def _is_card(match: Match) -> bool:
    """An issuer's number with a right check digit (Luhn), in groups or called a card's."""
    digits = re.sub(r"\D", "", match[0])
    doubled = [int(d) * (1 + at % 2) for at, d in enumerate(reversed(digits))]
    right = sum(each - 9 * (each > 9) for each in doubled) % 10 == 0
    grouped = re.fullmatch(r"\d{4}([ -])\d{4,6}\1\d{4,5}(\1\d{1,4})?", match[0]) is not None
    told = grouped or _PAID.search(_before(match)) is not None
    return right and told and _ISSUERS.fullmatch(digits) is not None


def _always(_: Match) -> bool:
    return True


_KEY_HINT = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_|sk-[A-Za-z0-9_-]{20}"
    r"|hf_[A-Za-z0-9]{30}|xox[abprs]-|AIza|eyJ[^\s.]{10,}\.eyJ|glpat-|npm_[A-Za-z0-9]{36}"
    r"|k_(?:live|test)_|GOCSPX-|hooks\.slack|(?i:aws_?secret)|SG\.[^\s.]{16}|pypi-[^\s]{50}"
    r"|dckr_pat_|dop_v1_|ya29\.|://[^\s/:@<>]{1,64}:[^\s/:@<>]+@"
)
_IP_HINT = (
    r"\d\.\d{1,3}\.\d{1,3}\.\d|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]"
    r"|[23][0-9A-Fa-f]{3}[0-9A-Fa-f:]*::"
)
_PHONE_HINT = (
    r"\+\d|\(\d{3}\)|\d{3}-\d{3}-\d{4}"
    r"|(?i:tel|tél|phone|fon|mobil|fax|call|cell|rufnummer|whatsapp|number is)[^\d\n]{0,17}\d"
)
KINDS = (
    PersonalKind("key", _KEY, _always, _KEY_HINT),
    PersonalKind("email", _EMAIL, _is_mailbox, r"@[A-Za-z0-9.-]+\.[A-Za-z]{2}"),
    PersonalKind("ip", _IP, _is_public, _IP_HINT),
    PersonalKind("iban", _IBAN, _is_iban, r"[A-Z]{2}\d{2} ?[A-Z0-9]{4}"),
    PersonalKind("card", _CARD, _is_card, r"\d(?:[ -]?\d){12}"),
    PersonalKind("ssn", _SSN, _always, r"\d{3}-\d{2}-\d{4}"),
    PersonalKind("phone", _PHONE, _is_phone, _PHONE_HINT),
)
"""In the order in which they are looked for."""
