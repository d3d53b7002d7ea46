"""WARC and WET: records one at a time; warcio parses HTTP and undoes its encodings.

The bounds of records are found here, since they must hold where lengths lie: a record ends where
its length says if a record or nothing follows there, and else before the next line that begins one.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from k2core.ingest.charset import decode, decode_html
from k2core.ingest.feed import ByteFeed
from k2core.ingest.http_body import CUT_PAGE, parse_response, parse_type, skip_interim
from k2core.ingest.looks import looks_html
from k2core.ingest.records import About, FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_TYPES = ("response", "resource", "conversion")
"""Those that hold a document; a revisit holds none, since it was the same before."""
_NEXT = re.compile(rb"\r?\n\r?\n(?=WARC/[01]\.)")
_GLUED = re.compile(rb"(?=WARC/[01]\.\d\r?\nWARC-[A-Za-z-]+:)")
"""What a writer began that had ended in the middle of a record."""
_TEXT = ("text/plain", "text/markdown")
_HTML = ("text/html", "application/xhtml+xml")
_HEADER_BYTES = 1 << 16
_HEADER_LINES = 1000
_HEAD = 1 << 16
_OVERLAP = 16
_MOST_ADDRESS = 8192


class _Block(NamedTuple):
    data: bytes
    whole: bool


def read_warc(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Pages and plain texts of responses, resources and conversions."""
    number = 0
    while line := feed.line(_HEADER_BYTES):
        if not line.strip():
            continue
        number += 1
        place = f"record {number}"
        if not line.removeprefix(BOM_UTF8).startswith(b"WARC/"):
            found = feed.skip_to(b"\nWARC/")
            yield RecordFault(place, "bytes that are no WARC record", repr(line[:20]))
            if not found:
                return
            continue
        headers = _read_headers(feed)
        kind = headers.get("warc-type", "").lower()
        try:
            length = int(headers.get("content-length", ""))
        except ValueError:
            length = -1
        if length < 0:
            yield RecordFault(
                place, "a WARC record without a length", headers.get("content-length", "")
            )
            feed.skip_to(b"\nWARC/")
        elif kind not in _TYPES:
            _skip_block(feed, length)
        else:
            yield _read_block(feed, place, length, headers, config)


def _read_block(
    feed: ByteFeed, place: str, length: int, headers: Mapping[str, str], config: FilesConfig
) -> Record | RecordFault:
    limit = config.max_document_bytes
    head = feed.peek(min(length, _HEAD))
    if refused := _refuse_early(place, head, headers):
        _skip_block(feed, length)
        return refused
    ahead = feed.peek(limit + 1) if length > limit else b""
    if len(ahead) > limit and not _NEXT.search(ahead):
        _skip_block(feed, length)
        return RecordFault(place, "larger than max_document_bytes", f"{length} bytes of {limit}")
    block = _take_block(feed, min(length, limit + 1), limit)
    if not block.whole:
        return RecordFault(
            place, "a WARC record is cut short", f"{len(block.data)} of {length} bytes"
        )
    try:
        return _read_record(place, block.data, headers, config)
    except (FileFaultError, ValueError, LookupError, EOFError) as error:
        return RecordFault(
            place, "a page that cannot be decoded", f"{type(error).__name__}: {error}"[:200]
        )


def _skip_block(feed: ByteFeed, length: int) -> None:
    """Go behind a block that is not read, or to a record that begins before it ends."""
    left = length
    while left and (part := feed.peek(min(left, _HEAD))):
        found = _NEXT.search(part) if b"\nWARC/" in part else None
        if found:
            feed.skip(found.end())
            return
        # What begins the next may lie across two parts.
        left -= feed.skip(max(1, len(part) - _OVERLAP) if left > len(part) else left)


def _take_block(feed: ByteFeed, length: int, limit: int) -> _Block:
    data = feed.read(length)
    after = feed.peek(16)
    ended = not after.strip() or after.startswith((b"\r\n\r\n", b"\n\n"))
    if len(data) == length and (ended or after.lstrip(b"\r\n").startswith(b"WARC/")):
        return _Block(data, whole=True)
    if found := _NEXT.search(data + after):  # the length is too large
        feed.put_back(data[found.end() :])
        return _Block(data[: found.start()], whole=True)
    if found := _GLUED.search(data + after):
        feed.put_back(data[found.start() :])
        return _Block(data[: found.start()], whole=False)
    if len(data) == length:  # too small: the rest lies before the next record
        parts = [data]
        while (line := feed.line(_HEADER_BYTES)) and not line.startswith(b"WARC/"):
            parts.append(line)
            if sum(map(len, parts)) > limit:
                feed.skip_to(b"\nWARC/")
                return _Block(data, whole=False)
            parts = [b"".join(parts)] if len(parts) > 1000 else parts
        feed.put_back(line)
        return _Block(b"".join(parts).rstrip(b"\r\n"), whole=True)
    # Cut short, unless somebody turned CRLF to LF after the length was written.
    head = data.partition(b"\n\n")[0]
    converted = b"\r\n" not in data and length - len(data) <= data.count(b"\n")
    return _Block(data.rstrip(b"\n"), whole=converted and head != data)


def _refuse_early(place: str, head: bytes, headers: Mapping[str, str]) -> RecordFault | None:
    """What a response's first bytes already refuse, whatever its size."""
    if headers.get("warc-type", "").lower() != "response":
        return _refuse_type(place, headers.get("content-type", "text/plain"))
    head = skip_interim(head)
    http = re.match(rb"HTTP/[\d.]+\s+(\d+)", head)
    if http and not 200 <= int(http[1]) < 300:
        return RecordFault(place, "an HTTP status other than 2xx", http[1].decode(), by_rule=True)
    top = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0].decode("utf-8", "replace")
    mime = re.search(r"(?im)^content-type[ \t]*:(.*)$", top)
    return _refuse_type(place, mime[1]) if mime else None


def _refuse_type(place: str, mime: str) -> RecordFault | None:
    name = parse_type(mime).name
    if not name or name in _HTML or name in _TEXT or name == "application/http":
        return None
    return RecordFault(place, "a type that is no text", name, by_rule=True)


def _read_record(
    place: str, block: bytes, headers: Mapping[str, str], config: FilesConfig
) -> Record | RecordFault:
    address = headers.get("warc-target-uri", "").strip("<>").replace(" ", "%20")[:_MOST_ADDRESS]
    repair, body, mime = "", block, headers.get("content-type", "")
    if headers["warc-type"].lower() == "response" and block.startswith(b"HTTP/"):
        mime, body, repair = parse_response(block, config.max_document_bytes)
    name, label = parse_type(mime)
    html = name in _HTML or (name not in _TEXT and looks_html(body))
    if len(body) > config.max_document_bytes:
        limit = f"max_document_bytes={config.max_document_bytes}"
        return RecordFault(place, "larger than max_document_bytes", f"decoded, {limit}")
    if not body.strip():
        return RecordFault(place, "the page is empty", address, by_rule=True)
    if "warc-truncated" in headers or "warc-segment-number" in headers:
        repair = CUT_PAGE
    found = decode_html(body, label) if html else decode(body, label)
    about = About(url=address, date=headers.get("warc-date", ""))
    form = "html" if html else "text"
    return Record(place, form, found.text, about, repair or found.repair)


def _read_headers(feed: ByteFeed) -> dict[str, str]:
    headers: dict[str, str] = {}
    key = ""
    for _ in range(_HEADER_LINES):
        line = feed.line(_HEADER_BYTES)
        if len(line) > _HEADER_BYTES:
            feed.skip_line()
        if not line.strip():
            break
        text = line.decode("utf-8", "replace").rstrip()
        if text[0] in " \t" and key:  # a header that goes on
            headers[key] += " " + text.strip()
            continue
        key, _, value = text.partition(":")
        key = key.strip().lower()
        headers[key] = value.strip()
    return headers
