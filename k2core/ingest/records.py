"""Documents inside one file, by its name: HTML, text, source, JSONL, parquet, WARC and WET.

Files are streamed; what is too large, or not what its name says, is a `FileFaultError`.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.ingest import FilesConfig

_HTML = (".html", ".htm", ".xhtml")
_WARC = (".warc", ".wet")
_JSONL = (".jsonl", ".ndjson")
_ENCODINGS = ("utf-8-sig", "cp1252")
_BOMB_FLOOR = 16_000_000
"""Below so many bytes nothing counts as a bomb."""


class FileFaultError(ValueError):
    """A file or record that is not what it should be; the message says what."""


class Record(NamedTuple):
    """A document in a file."""

    name: str
    """Where in the file; empty if the file is one document. Of a web page its address."""
    format: str
    text: str


def read_records(stream: IO[bytes], path: str, size: int, config: FilesConfig) -> Iterator[Record]:
    """The documents of a file of `size` bytes.

    Raises:
        FileFaultError: empty, cut short, too large, or not in its name's format.
    """
    if size == 0:
        raise FileFaultError("the file is empty")
    name = path.lower()
    if name.endswith(".parquet"):
        yield from _read_parquet(stream, config)
        return
    plain = _Limited(_decompress(stream, name), size, config)
    stem = name.removesuffix(".gz").removesuffix(".zst")
    try:
        if stem.endswith(_WARC):
            yield from _read_warc(plain, config)
        elif stem.endswith(_JSONL):
            yield from _read_jsonl(plain, config)
        else:
            form = "html" if stem.endswith(_HTML) else "text"
            yield Record("", form, decode(plain.take(config.max_document_bytes, "the file")))
    except EOFError as error:
        raise FileFaultError("the compressed stream is cut short") from error
    except (OSError, zlib.error, pa.ArrowException) as error:
        raise FileFaultError(f"it does not decompress: {error}") from error


def decode(data: bytes) -> str:
    """Text of UTF-8 or, failing that, Windows-1252."""
    if b"\0" in data:
        raise FileFaultError("it holds zero bytes: binary, or UTF-16")
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FileFaultError("it is text neither in UTF-8 nor in Windows-1252")


class _Limited:
    """A stream that refuses to expand without end."""

    def __init__(self, stream: IO[bytes], size: int, config: FilesConfig) -> None:
        self._stream = stream
        self._left = max(_BOMB_FLOOR, size * config.max_expansion)
        self._expansion = config.max_expansion

    def line(self, limit: int) -> bytes:
        return self._count(self._stream.readline(limit + 1))

    def read(self, count: int) -> bytes:
        return self._count(self._stream.read(count))

    def take(self, limit: int, what: str) -> bytes:
        """Everything that is left."""
        data = self.read(limit + 1)
        if len(data) > limit:
            raise FileFaultError(f"{what} is larger than max_document_bytes={limit}")
        return data

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise FileFaultError(
                f"it expands to more than {self._expansion} times its size: a bomb"
            )
        return data


def _decompress(stream: IO[bytes], name: str) -> IO[bytes]:
    if name.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream))
    if name.endswith(".zst"):
        found: Any = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
        return io.BufferedReader(found)
    return stream


def _read_jsonl(stream: _Limited, config: FilesConfig) -> Iterator[Record]:
    number = 0
    while line := stream.line(config.max_document_bytes):
        number += 1
        if len(line) > config.max_document_bytes:
            raise FileFaultError(f"line {number} is larger than {config.max_document_bytes} bytes")
        if line.strip():
            try:
                row = json.loads(line)
                text = row[config.text_field]
            except (ValueError, KeyError, TypeError) as error:
                wanted = f"an object with the text field {config.text_field!r}"
                raise FileFaultError(f"line {number} is not {wanted}: {error}") from error
            if not isinstance(text, str):
                raise FileFaultError(f"line {number}: {config.text_field!r} is no string")
            yield Record(str(row.get("url", number)), "text", text)


def _read_parquet(stream: IO[bytes], config: FilesConfig) -> Iterator[Record]:
    try:
        table = pq.ParquetFile(stream)
        number = 0
        for batch in table.iter_batches(256, columns=[config.text_field]):
            for text in batch.column(0).to_pylist():
                yield Record(str(number), "text", text or "")
                number += 1
    except (pa.ArrowException, OSError, IndexError) as error:
        raise FileFaultError(
            f"no parquet with the column {config.text_field!r}: {error}"
        ) from error


def _read_warc(stream: _Limited, config: FilesConfig) -> Iterator[Record]:
    while line := stream.line(65_536):
        if not line.strip():
            continue
        if not line.startswith(b"WARC/"):
            raise FileFaultError(f"a WARC record begins with {line[:20]!r}, not with WARC/")
        headers = _read_headers(stream)
        try:
            length = int(headers["content-length"])
        except (KeyError, ValueError) as error:
            raise FileFaultError("a WARC record has no Content-Length") from error
        if length > config.max_document_bytes:
            raise FileFaultError(f"a record of {length} bytes: at most {config.max_document_bytes}")
        body = stream.read(length)
        if len(body) < length:
            raise FileFaultError("the last WARC record is cut short")
        address = headers.get("warc-target-uri", "")
        if headers.get("warc-type") == "conversion":
            yield Record(address, "text", decode(body))
        elif headers.get("warc-type") == "response":
            head, _, page = body.partition(b"\r\n\r\n")
            if b"text/html" in head.lower():
                yield Record(address, "html", decode(page))


def _read_headers(stream: _Limited) -> dict[str, str]:
    headers = {}
    while (line := stream.line(65_536)).strip():
        key, _, value = line.decode("utf-8", "replace").partition(":")
        headers[key.strip().lower()] = value.strip()
    return headers
