"""Which reader a file wants, by its first bytes, and by its name where these leave it open."""

from collections.abc import Iterator

from k2core.ingest.arrow import FILE, STREAM, read_arrow
from k2core.ingest.charset import decode, decode_html
from k2core.ingest.delimited import read_commas, read_tabs
from k2core.ingest.epub import read_epub
from k2core.ingest.feed import ByteFeed
from k2core.ingest.json_array import read_array
from k2core.ingest.jsonl import read_blocks, read_lines, read_object, too_large
from k2core.ingest.looks import (
    BEFORE_ROWS,
    first_line,
    first_row,
    looks_html,
    looks_mail,
    looks_mbox,
    looks_pdf,
    name_unsupported,
)
from k2core.ingest.mail import read_mail, read_mbox
from k2core.ingest.notebook import read_notebook
from k2core.ingest.office import read_docx, read_pdf
from k2core.ingest.parquet import read_parquet
from k2core.ingest.records import Reader, Record, RecordFault, UnsupportedError
from k2core.ingest.warc import read_warc
from schemas.ingest import FilesConfig

_PAGES = (".html", ".htm", ".xhtml", ".shtml")
_ROWS = (".jsonl", ".ndjson", ".json", ".jsonlines")
_MAILS = (".eml", ".mbox", ".mbx")
_LOOK = 1 << 16


def choose_reader(feed: ByteFeed, config: FilesConfig) -> Reader:
    """The reader of a file.

    Raises:
        UnsupportedError: it is of a known format that has none.
    """
    head, name = feed.peek(_LOOK), feed.name
    if head.startswith(b"PAR1") or name.endswith((".parquet", ".pq")):
        return read_parquet
    if head.startswith(b"WARC/") or name.endswith((".warc", ".wet")):
        return read_warc
    told = name.endswith(".epub") or b"application/epub+zip" in head[:200]
    if head.startswith(b"PK\x03\x04") and told:
        return read_epub
    if not config.as_written and (looks_mbox(head) or name.endswith((".mbox", ".mbx"))):
        return read_mbox
    if looks_pdf(head):
        return read_pdf
    if head.startswith(b"PK\x03\x04") and (name.endswith(".docx") or b"word/document" in head):
        return read_docx
    if head.startswith((FILE, STREAM)):
        return read_arrow
    if what := name_unsupported(head):
        raise UnsupportedError(what)
    return _choose_text_reader(head, name, config)


def _choose_text_reader(head: bytes, name: str, config: FilesConfig) -> Reader:
    start = head.lstrip(BEFORE_ROWS)[:1]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        start = head[2:4].strip(b"\0")
    if name.endswith(_ROWS):
        if start == b"[":
            return read_array
        if first_line(head) == b"{":
            return read_blocks
        lines = name.endswith((".jsonl", ".ndjson")) or bool(first_row(head))
        return read_lines if lines else read_object
    if name.endswith(".ipynb"):
        return read_notebook
    if name.endswith(".csv"):
        return read_commas
    if name.endswith((".tsv", ".tab")):
        return read_tabs
    if not config.as_written and (name.endswith(_PAGES) or looks_html(head)):
        return read_page
    if not config.as_written and (name.endswith(_MAILS) or looks_mail(head)):
        return read_mail
    if config.text_field.split(".")[0] in first_row(head):
        return read_lines
    return read_text


def read_page(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A file that is one page."""
    data = feed.read(config.max_document_bytes + 1)
    if len(data) > config.max_document_bytes:
        yield too_large("", len(data), config)
        return
    if not data:
        yield RecordFault("", "the file is empty")
        return
    text, repair = decode_html(data, feed.charset)
    yield Record("", "html", text, repair=repair)


def read_text(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A file that is one text: prose, Markdown, source."""
    data = feed.read(config.max_document_bytes + 1)
    if len(data) > config.max_document_bytes:
        yield too_large("", len(data), config)
        return
    if not data:
        yield RecordFault("", "the file is empty")
        return
    text, repair = decode(data, feed.charset)
    yield Record("", "text", text, repair=repair)
