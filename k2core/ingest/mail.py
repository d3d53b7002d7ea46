"""Mails: the text of each, decoded, without headers and attachments."""

import email
import re
from base64 import b64decode
from codecs import BOM_UTF8
from collections.abc import Iterator
from email.message import Message
from email.policy import Compat32
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from k2core.ingest.charset import Decoded, decode, decode_html, mend_surrogates
from k2core.ingest.feed import ByteFeed
from k2core.ingest.jsonl import too_large
from k2core.ingest.looks import FROM_LINE, begins_mail, looks_html
from k2core.ingest.records import About, FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_MOST_HEADER = 2000
_MOST_HEADERS = 10_000
_MOST_PARTS = 10_000
_MOST_LOOKS = 3_000_000
_LOOK = 200
_STEP = 1 << 16
_BOUNDARY = re.compile(rb"boundary\s{0,9}=\s{0,9}[\"']?([^\s\"';]{1,200})", re.IGNORECASE)
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def read_mail(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A file that is one mail."""
    data = feed.read(config.max_document_bytes + 1)
    if len(data) > config.max_document_bytes:
        yield too_large("", len(data), config)
    else:
        yield _read_message("", data)


def read_mbox(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Mails one after another, each after a line that begins with `From `."""
    limit, number = config.max_document_bytes, 0
    parts: list[bytes] = []
    size, empty_before = 0, True
    if feed.peek(3) == BOM_UTF8:
        feed.skip(3)
    while begun := len(head := feed.peek(_STEP)) - len(head.lstrip(b"\r\n")):
        feed.skip(begun)
    while True:
        line = feed.line(limit)
        starts = line.startswith(b"From ") and _starts_mail(line, feed, empty_before=empty_before)
        if (starts or not line) and parts:
            number += 1
            place = f"mail {number}"
            if size > limit:
                yield too_large(place, size, config)
            else:
                yield _read_message(place, _QUOTED_FROM.sub(rb"\1", b"".join(parts)))
            parts, size = [], 0
        if not line:
            return
        size += len(line)
        if not starts and size <= limit:
            parts.append(line)
        elif not starts and not parts:
            parts.append(b"")  # a mail of one line that is too long
        empty_before = not line.strip()


def _starts_mail(line: bytes, feed: ByteFeed, *, empty_before: bool) -> bool:
    """Whether a line `From ` begins a mail: two of a blank line before, a date, headers after."""
    told = FROM_LINE.match(line) is not None
    return (told and empty_before) or ((told or empty_before) and begins_mail(feed.peek(_LOOK)))


def _read_message(place: str, data: bytes) -> Record | RecordFault:
    try:
        _check_size(data)
        message = email.message_from_bytes(data.removeprefix(BOM_UTF8), policy=_POLICY)
        html, (text, repair) = _read_body(message)
        about = _about(message)
    except FileFaultError as error:
        return RecordFault(place, "a mail without text", str(error))
    except Exception as error:
        return RecordFault(
            place, "a mail that cannot be parsed", f"{type(error).__name__}: {error}"[:200]
        )
    if not text.strip():
        return RecordFault(place, "a mail without text", by_rule=True)
    return Record(place, "html" if html else "text", text, about, repair)


class _Body(NamedTuple):
    html: bool
    decoded: Decoded


def _read_body(message: Message) -> _Body:
    """The plain texts that are shown, one after another; without one the pages."""
    shown = _shown(message)
    parts = [part for part in shown if not part.html] or shown
    html = any(part.html or (len(parts) == 1 and looks_html(part.data)) for part in parts)
    undo = decode_html if html else decode
    found = [undo(part.data, part.charset) for part in parts]
    repairs = [part.repair for part in parts] + [each.repair for each in found]
    repair = next(filter(None, repairs), "")
    texts = [each.text for each in found] or [""]
    text = texts[0] if len(texts) == 1 else "\n\n".join(each.strip("\r\n") for each in texts)
    return _Body(html, Decoded(text, repair))


class _Part(NamedTuple):
    html: bool
    data: bytes
    charset: str
    repair: str


def _shown(part: Message) -> list[_Part]:
    """What a reader is shown of it: of alternatives one, plain if there is; no attachments."""
    if _is_attached(part):
        return []
    inside = part.get_payload()
    if isinstance(inside, list):
        found = [_shown(each) for each in inside if isinstance(each, Message)]
        if part.get_content_subtype() != "alternative":
            return [each for shown in found for each in shown]
        return min(filter(None, found), key=lambda shown: shown[0].html, default=[])
    if part.get_content_maintype() == "multipart":
        raise FileFaultError("its parts do not begin where its headers say")
    if part.get_content_type() not in ("text/plain", "text/html"):
        return []
    raw = part.get_payload(decode=True)
    data, repair = raw if isinstance(raw, bytes) else b"", ""
    if str(part.get("content-transfer-encoding", "")).strip().lower() == "base64":
        signs = _NO_BASE64.sub(b"", str(inside).encode("ascii", "ignore"))
        if len(signs) % 4 == 1:  # of which email decodes nothing
            data, repair = b64decode(signs[:-1] + b"==="), "base64 that is cut short"
    html = part.get_content_subtype() == "html"
    return [_Part(html, data, str(part.get_content_charset("")), repair)] if data.strip() else []


def _check_size(data: bytes) -> None:
    """Refuse what takes the parser time beyond measure.

    Raises:
        FileFaultError: it looks at each line for each multipart around it, and takes long a part.
    """
    bounds = {found[1] for found in _BOUNDARY.finditer(data)}
    head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
    if (
        len(bounds) * data.count(b"\n") > _MOST_LOOKS
        or head.count(b"\n") > _MOST_HEADERS
        or any(data.count(b"\n--" + bound) > _MOST_PARTS for bound in bounds)
    ):
        raise FileFaultError("more headers or parts than a mail has")


def _is_attached(part: Message) -> bool:
    said = str(part.get("content-disposition", "")).strip().lower()
    return said.startswith("attachment") or bool(said and part.get_filename())


class _ShortHeaders(Compat32):
    """Cuts headers, since the parser takes quadratic time for their parameters."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Name and value."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MOST_HEADER]


_POLICY = _ShortHeaders()


def _about(message: Message) -> About:
    own_id = mend_surrogates(str(message.get("message-id", ""))).text.strip().strip("<>")
    try:
        date = parsedate_to_datetime(str(message.get("date", ""))).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        date = ""
    return About(own_id=own_id[:500], date=date)
