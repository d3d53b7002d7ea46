"""EPUB: a document a chapter, in the order of the book's spine."""

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree

from k2core.ingest.charset import decode_html
from k2core.ingest.feed import ByteFeed
from k2core.ingest.jsonl import too_large
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_PAGES = (".xhtml", ".html", ".htm")
_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
)


def read_epub(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Its chapters that are pages."""
    try:
        book = zipfile.ZipFile(feed.seekable())
    except _ERRORS as error:
        raise FileFaultError(f"no EPUB: {error}") from error
    for name in _order(book):
        try:
            size = book.getinfo(name).file_size
            if size > config.max_document_bytes:
                yield too_large(name, size, config)
                continue
            with book.open(name) as stream:
                data = stream.read(config.max_document_bytes + 1)
            text, repair = decode_html(data)
            yield Record(name, "html", text, repair=repair)
        except (*_ERRORS, FileFaultError) as error:
            yield RecordFault(name, "a chapter is damaged", str(error)[:200])


def _order(book: zipfile.ZipFile) -> list[str]:
    """The spine's pages; without a readable spine all pages as they lie in the archive."""
    names = book.namelist()
    pages = [name for name in names if name.lower().endswith(_PAGES)]
    package = next((name for name in names if name.lower().endswith(".opf")), "")
    try:
        with book.open(package) as stream:
            root = ElementTree.fromstring(stream.read(1 << 22))
    except (*_ERRORS, ElementTree.ParseError, ValueError):
        return pages
    folder = posixpath.dirname(package)
    hrefs = {item.get("id"): item.get("href", "") for item in root.iterfind("{*}manifest/{*}item")}
    places = [hrefs.get(item.get("idref"), "") for item in root.iterfind("{*}spine/{*}itemref")]
    spine = [posixpath.normpath(posixpath.join(folder, unquote(place))) for place in places]
    return list(dict.fromkeys(name for name in spine if name in pages)) or pages
