# ruff: noqa: RUF001 - signs that look alike are the matter here
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


_BLANK = " \u00a0\u202f"
_DASH = "\u2010\u2011-"
"""Word processors keep a number on one line with signs of their own."""
_HOST = r"(?:[^\W_]|-)+(?:\.(?:[^\W_]|-)+)*\.[^\W\d_]{2,}\b"
_EMAIL = re.compile(
    rf"(?<![\w.+%-])[\w.+%-]+(?:'[\w.+%-]{{1,20}})?@{_HOST}"
    r"|(?<![\w.+-])[\w.+-]+ ?[\[({]at[\])}] ?[\w-]+(?:\.[\w-]+| ?[\[({]dot[\])}] ?[\w-]+){1,4}",
    re.IGNORECASE,
)
_IP = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
    r"|(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    r"|(?<![\w:.])[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{1,4}){0,6}::"
    r"(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5})?(?![\w:])"
)
_PHONE = re.compile(
    r"(?<![\w.+(-])(?:"  # +49 30 1234 5678, +33 1 23 ..., +49 30 12345-0
    rf"\+\d{{1,3}}[{_BLANK}.{_DASH}]?\(?\d{{1,4}}\)?"
    rf"(?:[{_BLANK}.{_DASH}]?\(?\d{{2,4}}\)?){{1,5}}(?:[{_DASH}]\d)?"
    rf"|\(\d{{3}}\)[{_BLANK}]?\d{{3}}[{_BLANK}.{_DASH}]\d{{4}}"  # (555) 123-4567
    rf"|(?:1[{_DASH}])?\d{{3}}[{_DASH}]\d{{3}}[{_DASH}]\d{{4}}"  # 555-123-4567
    # 030 1234567, 8 (495) 123-45-67, where a word says so
    rf"|(?:[18][{_BLANK}])?\(?0?\d{{2,5}}\)?(?:[{_BLANK}./{_DASH}]?\d{{2,8}}){{1,4}}"
    r")(?!(?!x\d)[\w-])"
)
_SURE_PHONE = re.compile(
    rf"\+.*|\(\d{{3}}\)[{_BLANK}]?\d{{3}}[{_BLANK}.{_DASH}]\d{{4}}"
    rf"|(?:1[{_DASH}])?\d{{3}}[{_DASH}]\d{{3}}[{_DASH}]\d{{4}}"
)
_KEY = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{40,}\b"
    r"|\bsk-(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\b(?:xox[abprs]|xapp)-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"  # a JSON web token
    r"|\bglpat-[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}\b|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b"
    r"|\bGOCSPX-[\w-]{20,}|\bhooks\.slack\.com/services/[A-Z0-9]{5,}/[A-Z0-9]{5,}/\w{16,}"
    r"|\b(?i:aws_?secret(?:_?(?:access_?)?key)?)[\"' ]{0,2}[:=][\"' ]{0,3}[A-Za-z0-9/+]{40}"
    r"(?![\w/+])"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bpypi-[\w-]{50,}|\bdckr_pat_[\w-]{20,}"
    r"|\bdop_v1_[0-9a-f]{64}\b|\bya29\.[\w-]{20,}"
    r"|\bwhsec_[A-Za-z0-9+/]{24,}|\bsh(?:pat|pss|pca|ppa)_[0-9a-f]{32}\b|\bdapi[0-9a-f]{32}\b"
    r"|\bglsa_\w{40,}|\bsq0(?:atp|csp)-[\w-]{22,}|\bPMAK-[0-9A-Za-z]{24}-[0-9A-Za-z]{34}\b"
    r"|\bkey-[0-9a-f]{32}\b|\bhvs\.[\w-]{24,}|\bATATT3[\w=-]{40,}|\btskey-[a-z]{2,12}-[\w-]{16,}"
    r"|\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b|\b\d{8,10}:AA[\w-]{33}(?![\w-])"
    r"|\bAccountKey=[A-Za-z0-9+/]{64,}={0,2}"
    r"|(?<=://)[^\s/:@<>]{0,64}:[^\s/:@<>]{1,128}(?=@)"  # name and password in an address
)
_IBAN = re.compile(
    rf"\b[A-Z]{{2}}\d{{2}}(?:[{_BLANK}]?[A-Z0-9]{{4}}){{2,7}}(?:[{_BLANK}]?[A-Z0-9]{{1,3}})?\b"
)
_CARD = re.compile(
    rf"(?<![\w.-])(?:\d{{4}}([{_BLANK}.{_DASH}])(?:\d{{4}}\1\d{{4}}\1\d{{4}}|\d{{6}}\1\d{{5}})"
    rf"|\d(?:[{_BLANK}{_DASH}]?\d){{12,18}})(?![\w-]|\.\d)"
)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}([ -]?)(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])")
_INSURED = re.compile(
    r"\b(?:ssn|social[ -]security)(?: (?:number|no\.?))?[^\d\n]{0,10}$", re.IGNORECASE
)
_RESERVED = ("example.com", "example.org", "example.net", "example", "invalid", "test", "localhost")
_NO_MAILBOX = ("git", "hg", "svn", "anonymous", "noreply", "no-reply")
_FILES = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "py", "rb", "go", "php",
     "html", "htm", "xml", "json", "yml", "yaml", "txt", "dll", "exe", "zip", "gz", "tar", "pdf",
     "tgz", "whl", "jar", "xz"}
)  # fmt: skip
_NUMBERED = re.compile(
    r"(?:sections?|sect?\.|§+|versions?|ver\.?|v|chapters?|releases?|figures?|fig\.|tables?"
    r"|kapitel|abschnitt|chapitre|cap[ií]tulo|capitolo|secci[oó]n|versi[oó]n|versione|глава|раздел"
    r"|версия|版本|バージョン|appendix|steps?|clauses?|rules?|paragraphs?|builds?|firmware|drivers?|articles?|kernel"
    r"|updates?|patch|exercises?|examples?|theorems?)[\s:=#\"'(]{0,3}$"
    r"|(?:[<>!~=]=|\([<>~=]+) ?$|[<>] $|[a-z][/_-]$",  # libfoo (>= 1.2.3.4), Agent/1.2.3.4
    re.IGNORECASE,
)
_TITLE = re.compile(r"\.? +[A-Z][a-z]+")
_ADDRESSED = re.compile(
    r"(?:\b(?:ips?|ipv4|hosts?|hostname|(?:name)?servers?|addr|address(?:es)?|ping|dns|gateway|proxy"
    r"|client|peer|ssh|subnet|network|remote)\b[\s:=\"'(\[]{0,4}(?:(?:is|was|at) )?|//|@|\[)$",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"(?:\b(?:tele?(?:phone|fon)?|phone|fon|mobile?|fax|call|cell|tél(?:éphone)?|rufnummer|whatsapp"
    r"|tel[eé]fono|telefone|celular|m[oó]vil|cellulare|handy|телефон|тел|моб"
    r"|(?:my|her|his|our|your|their) number is)\b|电话|電話|手机|手機|携帯|전화|โทร)[^\d\n]{0,15}$",
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
_AT, _DOT = re.compile(r" ?[\[({]at[\])}] ?"), re.compile(r" ?[\[({]dot[\])}] ?")
_SMALL = 30


def _before(match: Match) -> str:
    return match.string[max(0, match.start() - _NEAR) : match.start()]


def _is_mailbox(match: Match) -> bool:
    """Names reserved for documentation (RFC 2606) are nobody's, nor are accounts of programs."""
    name, _, host = _AT.sub("@", match[0].lower()).partition("@")
    host = _DOT.sub(".", host)
    if re.match(r"\d+(?:\.\d+)+\.", host) or not re.search(r"\.[^\W\d_]{2,}$", host):
        return False  # a package's version, or no host
    reserved = any(host == each or host.endswith(f".{each}") for each in _RESERVED)
    return not (reserved or name in _NO_MAILBOX or host.rpartition(".")[2] in _FILES)


def _is_public(match: Match) -> bool:
    """No section or version, of which four numbers look the same."""
    if "." in match[0]:
        begins_line = match.string[max(0, match.start() - 1) : match.start()] in ("", "\n")
        titled = begins_line and _TITLE.match(match.string, match.end())
        if titled or _NUMBERED.search(_before(match)) or _is_version(match):
            return False
    try:
        return ipaddress.ip_address(match[0]).is_global
    except ValueError:
        return False


def _is_version(match: Match) -> bool:
    """Whether its numbers are small or end in 0, as of a version or a network, and no word denies.

    Of addresses of hosts one in five thousand is so small.
    """
    parts = [int(part) for part in match[0].split(".")]
    small = max(parts) < _SMALL and len(set(parts)) > 2
    return (small or not parts[-1]) and _ADDRESSED.search(_before(match)) is None


def _is_phone(match: Match) -> bool:
    digits = re.sub(r"\D", "", match[0])
    if len(digits) < 9 or digits in ("1234567890", "0123456789"):
        return len(digits) in (7, 8) and _SURE_PHONE.fullmatch(match[0]) is None and _called(match)
    return _SURE_PHONE.fullmatch(match[0]) is not None or (len(digits) < 16 and _called(match))


def _called(match: Match) -> bool:
    return _CALLED.search(_before(match)) is not None


def _is_iban(match: Match) -> bool:
    """Its check digits are right (ISO 13616)."""
    text = re.sub(r"\s", "", match[0])
    moved = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return 15 <= len(text) <= 34 and int(moved) % 97 == 1


def _is_card(match: Match) -> bool:
    """An issuer's number with a right check digit (Luhn), in groups or called a card's."""
    digits = re.sub(r"\D", "", match[0])
    doubled = [int(d) * (1 + at % 2) for at, d in enumerate(reversed(digits))]
    right = sum(each - 9 * (each > 9) for each in doubled) % 10 == 0
    told = match[1] is not None or _PAID.search(_before(match)) is not None
    return right and told and _ISSUERS.fullmatch(digits) is not None


def _is_ssn(match: Match) -> bool:
    """Written with dashes, or called one."""
    return match[1] == "-" or _INSURED.search(_before(match)) is not None


def _always(_: Match) -> bool:
    return True


_KEY_HINT = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_|sk-[A-Za-z0-9_-]{20}"
    r"|hf_[A-Za-z0-9]{30}|xox[abprs]-|AIza|eyJ[^\s.]{10,}\.eyJ|glpat-|npm_[A-Za-z0-9]{36}"
    r"|k_(?:live|test)_|GOCSPX-|hooks\.slack|(?i:aws_?secret)|SG\.[^\s.]{16}|pypi-[^\s]{50}"
    r"|dckr_pat_|dop_v1_|ya29\.|xapp-|whsec_|sh(?:pat|pss|pca|ppa)_|dapi[0-9a-f]|glsa_|sq0|PMAK-"
    r"|key-[0-9a-f]{32}|hvs\.|ATATT3|tskey-|AGE-SECRET|:AA|AccountKey=|://[^\s/:@<>]{0,64}:[^\s/:@<>]+@"
)
_IP_HINT = (
    r"\d\.\d{1,3}\.\d{1,3}\.\d|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]"
    r"|[23][0-9A-Fa-f]{3}[0-9A-Fa-f:]*::"
)
_PHONE_HINT = (
    rf"\+\d|\(\d{{3}}\)|\d{{3}}[{_DASH}]\d{{3}}[{_DASH}]\d{{4}}"
    r"|(?i:tel|tél|phone|fon|mobil|fax|call|cell|rufnummer|whatsapp|number is|celular|m[oó]vil"
    r"|handy)[^\d\n]{0,25}\d|(?:[Тт]ел|ТЕЛ|[Мм]об|电话|電話|手机|手機|携帯|전화|โทร)[^\d\n]{0,25}\d"
)
KINDS = (
    PersonalKind("key", _KEY, _always, _KEY_HINT),
    PersonalKind(
        "email", _EMAIL, _is_mailbox, r"@[^\s@()\[\],=:;'\"<>/]+\.[^\s\d]{2}|[\[({](?:at|AT)[\])}]"
    ),
    PersonalKind("ip", _IP, _is_public, _IP_HINT),
    PersonalKind("iban", _IBAN, _is_iban, rf"[A-Z]{{2}}\d{{2}}[{_BLANK}]?[A-Z0-9]{{4}}"),
    PersonalKind("card", _CARD, _is_card, rf"\d(?:[{_BLANK}.{_DASH}]?\d){{12}}"),
    PersonalKind(
        "ssn", _SSN, _is_ssn, r"\d{3}-\d{2}-\d{4}|(?:SSN|ssn|ocial.[Ss]ecurity)[^\d\n]{0,30}\d"
    ),
    PersonalKind("phone", _PHONE, _is_phone, _PHONE_HINT),
)
"""In the order in which they are looked for."""
