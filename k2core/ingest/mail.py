"""Mails: the text of each, decoded, without headers and attachments."""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from k2core.ingest.charset import Decoded, decode, decode_html, mend_surrogates
from k2core.ingest.feed import Feed
from k2core.ingest.jsonl import too_large
from k2core.ingest.looks import looks_html
from k2core.ingest.records import About, Fault, FileFaultError, Record
from schemas.ingest import FilesConfig

_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def read_mail(feed: Feed, config: FilesConfig) -> Iterator[Record | Fault]:
    """A file that is one mail."""
    data = feed.read(config.max_document_bytes + 1)
    if len(data) > config.max_document_bytes:
        yield too_large("", len(data), config)
    else:
        yield _read_message("", data)


def read_mbox(feed: Feed, config: FilesConfig) -> Iterator[Record | Fault]:
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


def _read_message(place: str, data: bytes) -> Record | Fault:
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        html, (text, repair) = _read_body(message)
        about = _about(message)
    except FileFaultError as error:
        return Fault(place, "a mail without text", str(error))
    except Exception as error:
        return Fault(
            place, "a mail that cannot be parsed", f"{type(error).__name__}: {error}"[:200]
        )
    if not text.strip():
        return Fault(place, "a mail without text", by_rule=True)
    return Record(place, "html" if html else "text", text, about, repair)


class _Body(NamedTuple):
    html: bool
    decoded: Decoded


def _read_body(message: EmailMessage) -> _Body:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return _Body(html=False, decoded=Decoded(""))
    raw = part.get_payload(decode=True)
    data = raw if isinstance(raw, bytes) else b""
    label = part.get_param("charset", "") or ""
    charset = label if isinstance(label, str) else label[2]
    html = part.get_content_type() == "text/html" or looks_html(data)
    return _Body(html, decode_html(data, charset) if html else decode(data, charset))


def _about(message: EmailMessage) -> About:
    own_id = mend_surrogates(str(message.get("message-id", ""))).text.strip().strip("<>")
    try:
        date = parsedate_to_datetime(str(message.get("date", ""))).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        date = ""
    return About(own_id=own_id[:500], date=date)
