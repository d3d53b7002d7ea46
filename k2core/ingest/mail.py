"""Mails: the text of each, decoded, without headers and attachments."""

import email
import re
from collections.abc import Iterator
from email.message import Message
from email.policy import Compat32
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from k2core.ingest.charset import Decoded, decode, decode_html, mend_surrogates
from k2core.ingest.feed import ByteFeed
from k2core.ingest.jsonl import too_large
from k2core.ingest.looks import looks_html
from k2core.ingest.records import About, FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_MOST_HEADER = 2000
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
    while True:
        line = feed.line(limit)
        starts = empty_before and line.startswith(b"From ")
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


def _read_message(place: str, data: bytes) -> Record | RecordFault:
    try:
        message = email.message_from_bytes(data, policy=_POLICY)
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
    """The first plain text that is no attachment, else the first page."""
    parts = [part for part in message.walk() if not part.is_multipart()]
    shown = [part for part in parts if not _is_attached(part)]
    plain = [part for part in shown if part.get_content_type() == "text/plain"]
    pages = [part for part in shown if part.get_content_type() == "text/html"]
    if not (plain or pages):
        return _Body(html=False, decoded=Decoded(""))
    part = (plain or pages)[0]
    raw = part.get_payload(decode=True)
    data = raw if isinstance(raw, bytes) else b""
    charset = str(part.get_content_charset(""))
    html = not plain or looks_html(data)
    return _Body(html, decode_html(data, charset) if html else decode(data, charset))


def _is_attached(part: Message) -> bool:
    return str(part.get("content-disposition", "")).strip().lower().startswith("attachment")


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
