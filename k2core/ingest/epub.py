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
_XHTML = "application/xhtml+xml"
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
    names = frozenset(book.namelist())
    for name in _order(book):
        if name not in names:
            yield RecordFault(name, "a chapter that is not in the book")
            continue
        try:
            size = book.getinfo(name).file_size
            if size > config.max_document_bytes:
                yield too_large(name, size, config)
                continue
            with book.open(name) as stream:
                data = stream.read(config.max_document_bytes + 1)
            text, repair = decode_html(data)
            if text.strip():
                yield Record(name, "html", text, repair=repair)
            else:
                yield RecordFault(name, "an empty chapter", by_rule=True)
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
    items = {item.get("id"): item for item in root.iterfind("{*}manifest/{*}item")}
    asked = [items.get(each.get("idref")) for each in root.iterfind("{*}spine/{*}itemref")]
    by_lower = {name.lower(): name for name in reversed(names)}
    spine = []
    for item in asked:
        about = item.attrib if item is not None else {}
        href = unquote(about.get("href", "").partition("#")[0])
        place = posixpath.normpath(posixpath.join(folder, href))
        if href and (place.lower().endswith(_PAGES) or about.get("media-type") == _XHTML):
            spine.append(place if place in names else by_lower.get(place.lower(), place))
    return list(dict.fromkeys(spine)) or pages
