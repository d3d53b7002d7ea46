"""An archived HTTP response without its transfer and content encodings."""

import re
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import NamedTuple

import brotli
import zstandard
from warcio.statusandheaders import StatusAndHeadersParser

from k2core.ingest.charset import looks_binary
from k2core.ingest.records import FileFaultError

_PARSER = StatusAndHeadersParser(["HTTP/"], verify=False)
_MIME = re.compile(r"\s*([\w.+-]+/[\w.+-]+)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]{0,4096})?\r?\n")
"""What begins a chunk: its size, and what some servers say beside it (RFC 9112, 7.1)."""
_LINE_END = re.compile(rb"\r?\n")
_INTERIM = re.compile(rb"(?:HTTP/[\d.]+ 1\d\d\b[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n)+")
_FED = 256
"""Bytes of zstd at a time: they become 8 MB at most."""
CUT = "a compressed page that is cut short"
CUT_PAGE = "a page that is cut short"


class Response(NamedTuple):
    """What a server sent."""

    content_type: str
    body: bytes
    repair: str = ""


class _Plain(NamedTuple):
    body: bytes
    cut: bool = False


class MediaType(NamedTuple):
    """What Content-Type says, e.g. `text/html` and `utf-8`; empty where it says nothing."""

    name: str
    charset: str


def parse_type(header: str) -> MediaType:
    """The parts of a Content-Type header."""
    name, charset = _MIME.match(header), _CHARSET.search(header)
    return MediaType(name[1].lower() if name else "", charset[1] if charset else "")


def parse_response(block: bytes, limit: int) -> Response:
    """The body as it was before it was encoded, at most one byte more than `limit`.

    Raises:
        FileFaultError: it is damaged, or encoded in an unknown way.
    """
    stream = BytesIO(skip_interim(block))
    headers = _PARSER.parse(stream)
    body, repair = stream.read(), ""
    if "chunked" in (headers.get_header("transfer-encoding") or "").lower():
        body, cut = _undo_chunks(body)
        repair = CUT_PAGE if cut else ""
    encodings = (headers.get_header("content-encoding") or "").lower().split(",")
    for encoding in reversed([name.strip().removeprefix("x-") for name in encodings]):
        if encoding not in ("", "identity", "none") and body:
            body, cut = _undo(encoding, body, limit)
            repair = repair or (CUT if cut else "")
            if cut and not body:
                raise FileFaultError(f"its {encoding} is damaged: it gives nothing")
    return Response(headers.get_header("content-type") or "", body, repair)


def skip_interim(block: bytes) -> bytes:
    """A response without those before it that say that it is to come, such as 100."""
    found = _INTERIM.match(block)
    return block[found.end() :] if found else block


def _undo_chunks(body: bytes) -> _Plain:
    """What lies in chunks; a body that does not begin with a whole one is kept as it is."""
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK.match(body, at):
        start, at = found.end(), found.end() + int(found[1], 16)
        if at == start:
            return _Plain(b"".join(parts))
        end = _LINE_END.match(body, at)
        if not (end or parts or at > len(body)):
            return _Plain(body)
        parts.append(body[start:at])
        if not end:
            break
        at = end.end()
    return _Plain(b"".join(parts), cut=True) if parts else _Plain(body)


def _is_plain(body: bytes) -> bool:
    """Many archives keep the header of a page that they have decoded; some name a charset in it."""
    head = body[:1024]
    if b"\0" in head or b"<" in head:
        return b"\0" not in head
    return not looks_binary(head) and "\ufffd" not in head.decode("utf-8", "replace")[:-1]


def _undo(encoding: str, body: bytes, limit: int) -> _Plain:
    undo = _DECODERS.get(encoding)
    try:
        if undo:
            return undo(body, limit + 1)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        if _is_plain(body):
            return _Plain(body)
        raise FileFaultError(f"its {encoding} is damaged: {error}") from error
    if _is_plain(body):
        return _Plain(body)
    raise FileFaultError(f"unknown content encoding {encoding!r}")


def _undo_gzip(body: bytes, most: int) -> _Plain:
    parts, size = [], 0
    while body and size < most:
        member = zlib.decompressobj(31)
        parts.append(member.decompress(body, most - size))
        size += len(parts[-1])
        if not member.eof:
            return _Plain(b"".join(parts), cut=size < most)
        body = member.unused_data if member.unused_data.startswith(b"\x1f\x8b") else b""
    return _Plain(b"".join(parts))


def _undo_deflate(body: bytes, most: int) -> _Plain:
    try:
        member = zlib.decompressobj()
        data = member.decompress(body, most)
    except zlib.error:  # without zlib's header, as some servers send it
        member = zlib.decompressobj(-15)
        data = member.decompress(body, most)
    return _Plain(data, cut=not member.eof and len(data) < most)


def _undo_brotli(body: bytes, most: int) -> _Plain:
    member = brotli.Decompressor()
    parts, size = [member.process(body, output_buffer_limit=most)], 0
    while size < most and not member.is_finished() and not member.can_accept_more_data():
        parts.append(member.process(b"", output_buffer_limit=most - size))
        size = sum(map(len, parts))
    return _Plain(b"".join(parts), cut=not member.is_finished() and size < most)


def _undo_zstd(body: bytes, most: int) -> _Plain:
    member = zstandard.ZstdDecompressor().decompressobj()
    parts, size, at = [], 0, 0
    while at < len(body) and size < most and not member.eof:
        parts.append(member.decompress(body[at : at + _FED]))
        size, at = size + len(parts[-1]), at + _FED
    return _Plain(b"".join(parts)[:most], cut=not member.eof and size < most)


_DECODERS: Mapping[str, Callable[[bytes, int], _Plain]] = {
    "gzip": _undo_gzip,
    "deflate": _undo_deflate,
    "br": _undo_brotli,
    "zstd": _undo_zstd,
}
