"""How texts begin: pages, mails, JSON rows; and what is no text."""

import json
import re
from collections.abc import Mapping

_LEADING = re.compile(
    rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?(?:\s+|<!--.*?-->|<\?xml[^>]{0,300}\?>)*", re.DOTALL
)
_PAGE = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|frameset|meta|main|article)\b", re.IGNORECASE
)
_MAIL_HEADER = re.compile(
    rb"^(?:return-path|received|from|to|subject|date|message-id|mime-version|delivered-to|sender"
    rb"|reply-to|content-type|x-[\w-]+|list-[\w-]+|dkim-signature|cc|in-reply-to|references):\s?\S",
    re.IGNORECASE | re.MULTILINE,
)
_FIELD = re.compile(rb"[\w-]+:")
FROM_LINE = re.compile(rb"From +\S+.{0,60}\d\d:\d\d")
"""The line before a mail of an mbox: a sender and a date."""
_PDF = re.compile(rb"^%PDF-\d", re.MULTILINE)
_WITHIN = 4096
BEFORE_ROWS = b"\xef\xbb\xbf\x1e \t\r\n"
"""Bytes that a JSON text may begin with; \\x1e stands between those of RFC 7464."""
UNSUPPORTED: Mapping[bytes, str] = {
    b"PK\x03\x04": "a ZIP archive, or a document of an office program",
    b"\xd0\xcf\x11\xe0": "a document of an older office program, or one with a password",
    b"{\\rtf": "an RTF document",
    b"7z\xbc\xaf'\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"\x7fELF": "a program",
    b"FEA1": "a Feather file of version 1",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x04\x22\x4d\x18": "an LZ4 stream",
    b"\x1f\x8b": "a gzip file inside another, or a damaged one",
    b"BZh91AY&SY": "a bzip2 file inside another",
    b"\xfd7zXZ": "an xz file inside another",
    b"\x28\xb5\x2f\xfd": "a zstd file inside another",
    b"\x1f\x9d": "a file of `compress`",
    b"PARE": "an encrypted parquet file",
    b"\x60\xea": "an ARJ archive",
    b"filedesc://": "an ARC archive (the WARC before 1.0)",
}
"""Files that are known by their first bytes and have no reader."""


def name_unsupported(data: bytes) -> str:
    """What it is that has no reader; empty if nobody knows it."""
    known = (what for magic, what in UNSUPPORTED.items() if data.startswith(magic))
    if data[257:262] == b"ustar":
        return "a tar archive"
    if b"<mediawiki" in data[:_WITHIN]:
        return "a MediaWiki dump, which a converter to text is for"
    return next(known, "")


def looks_html(data: bytes) -> bool:
    """Whether it begins as a page does, after spaces, marks and comments."""
    head = data[:_WITHIN]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.replace(b"\0", b"")
    start = _LEADING.match(head)
    return bool(_PAGE.match(head, start.end() if start else 0))


def looks_pdf(data: bytes) -> bool:
    """Whether it begins as a PDF does, behind 1,024 bytes of something else at most."""
    found = _PDF.search(data[:1024])
    return found is not None and (found.start() == 0 or b" obj" in data)


def looks_mbox(data: bytes) -> bool:
    """Whether it begins with a line `From sender date` and then headers."""
    line, _, rest = data.lstrip(BEFORE_ROWS)[:_WITHIN].partition(b"\n")
    return bool(FROM_LINE.match(line)) and _num_headers(rest) >= 2


def begins_mail(data: bytes) -> bool:
    """Whether it begins with one of the usual headers."""
    return _MAIL_HEADER.match(data) is not None


def looks_mail(data: bytes) -> bool:
    """Whether it begins with the headers of a mail, at least three of the usual ones."""
    return bool(_FIELD.match(data)) and _num_headers(data[:_WITHIN]) >= 3


def _num_headers(data: bytes) -> int:
    head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    lines = [line for line in head.split(b"\n")[:-1] if line[:1] not in b" \t" and line]
    if any(not _FIELD.match(line) for line in lines):
        return 0
    return len({found[0].lower() for found in _MAIL_HEADER.finditer(head)})


def first_line(data: bytes) -> bytes:
    """The first line that is not empty, without spaces around it."""
    return data.lstrip(BEFORE_ROWS).partition(b"\n")[0].strip()


def first_row(data: bytes) -> Mapping[str, object]:
    """The object in the first line that is not empty; empty if there is none."""
    line = first_line(data)
    if not line.startswith(b"{"):
        return {}
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}
