"""Small files of every format, made in code."""

import gzip
import io
import json
import struct
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html"


def text(number: int) -> str:
    return f"Report {number} names every worker of the mill and what each was paid in that summer."


def page(number: int, head: str = "") -> bytes:
    return f"<html><head>{head}</head><body><p>{text(number)}</p></body></html>".encode()


def rows(*numbers: int) -> bytes:
    return b"".join(json.dumps({"text": text(number)}).encode() + b"\n" for number in numbers)


def record(
    block: bytes, kind: str = "response", extra: str = "", length: int | None = None
) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.org/\r\n"
        f"WARC-Date: 2024-01-01T00:00:00Z\r\n{extra}"
    )
    size = len(block) if length is None else length
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + block + b"\r\n\r\n"


def response(number: int, http: bytes = HTTP, body: bytes | None = None) -> bytes:
    return record(http + b"\r\n\r\n" + (page(number) if body is None else body))


def chunked(body: bytes, size: int = 20) -> bytes:
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in cut) + b"0\r\n\r\n"


def parquet(table: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def flipped_parquet() -> bytes:
    """Three row groups, of which the second has a broken page."""
    texts = [text(number) for number in range(6)]
    options = {"row_group_size": 2, "compression": "gzip", "use_dictionary": False}
    data = bytearray(parquet(pa.table({"text": texts}), **options))
    place = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(0)
    end = place.data_page_offset + place.total_compressed_size
    data[end - 40 : end - 20] = bytes(20)
    return bytes(data)


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def skippable(data: bytes, number: int = 0) -> bytes:
    """A frame of zstd that holds nothing of its content."""
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def zstd_by_dictionary(*parts: bytes) -> bytes:
    """A frame each, compressed with a dictionary that the file begins with."""
    samples: list[bytes | bytearray | memoryview] = []
    samples += [response(number) + str(number).encode() * 20 for number in range(300)]
    words = zstandard.train_dictionary(2000, samples)
    frames = zstandard.ZstdCompressor(dict_data=words)
    return skippable(words.as_bytes(), 13) + b"".join(map(frames.compress, parts))


def members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def epub(*numbers: int) -> bytes:
    buffer = io.BytesIO()
    chapters = {f"OPS/c{number}.xhtml": page(number).decode() for number in numbers}
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml"/>' for n in numbers)
    spine = "".join(f'<itemref idref="c{n}"/>' for n in reversed(numbers))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf">'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    with zipfile.ZipFile(buffer, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        for name, content in {**chapters, "OPS/book.opf": package}.items():
            book.writestr(name, content)
    return buffer.getvalue()


def office() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as document:
        document.writestr("word/document.xml", text(1))
    return buffer.getvalue()
