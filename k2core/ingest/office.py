"""PDF and DOCX, by pypdf and python-docx."""

import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from k2core.ingest.feed import ByteFeed
from k2core.ingest.jsonl import too_large
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

if TYPE_CHECKING:
    from docx.document import Document as DocumentObject
    from docx.oxml.xmlchemy import BaseOxmlElement
    from docx.table import _Cell

_MOST_PAGES = 5_000
_MOST_OF_PAGE, _MOST_OF_PAGES = 4_000_000, 64_000_000
"""Bytes of commands, of which pypdf reads some 200,000 a second."""
_WRAPS = ("ins", "moveTo", "sdt", "sdtContent", "smartTag", "customXml")
"""Around paragraphs and what they hold: tracked changes, controls of forms."""


def read_pdf(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A document of all pages; a page that cannot be read is a fault, and is left out."""
    from pypdf import PdfReader

    try:
        book = PdfReader(feed.seekable())
        locked = book.is_encrypted and not book.decrypt("")
        num_pages = 0 if locked else len(book.pages)
    except Exception as error:  # whatever a hostile file makes the library raise
        raise FileFaultError(f"no PDF that can be read: {type(error).__name__}: {error}") from error
    if locked:
        raise FileFaultError("a PDF with a password")
    texts: list[str] = []
    size = commands = 0
    for number in range(1, min(num_pages, _MOST_PAGES) + 1):
        try:
            page = book.pages[number - 1]
            contents = page.get_contents()
            length = len(contents.get_data()) if contents is not None else 0
            if length > _MOST_OF_PAGE or commands + length > _MOST_OF_PAGES:
                yield RecordFault(
                    f"page {number}", "a page of too many commands", f"{length} bytes"
                )
                continue
            commands += length
            text = page.extract_text()
        except Exception as error:
            yield RecordFault(f"page {number}", "a page is damaged", type(error).__name__)
            continue
        size += len(text.encode("utf-8", "replace"))
        if size > config.max_document_bytes:
            yield too_large("", size, config)
            return
        texts.append(text.encode("utf-8", "replace").decode())
    if num_pages > _MOST_PAGES:
        yield RecordFault(
            "", f"pages beyond {_MOST_PAGES}", str(num_pages), num=num_pages - _MOST_PAGES
        )
    if not any(text.strip() for text in texts):
        yield RecordFault("", "a PDF without text", "scanned pages need OCR", by_rule=True)
        return
    yield Record("", "text", "\n\n".join(texts))


def read_docx(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Paragraphs and tables in their order; headings as Markdown's."""
    from docx import Document

    stream = feed.seekable()
    try:
        if (size := _unpacked(stream)) > config.max_document_bytes * 10:
            yield too_large("", size, config)
            return
        document = Document(stream)
        _unwrap(document.element.body)
        blocks = _write_blocks(document)
    except Exception as error:  # the same
        raise FileFaultError(f"no DOCX that can be read: {type(error).__name__}") from error
    text = "\n\n".join(filter(None, blocks))
    if len(text.encode()) > config.max_document_bytes:
        yield too_large("", len(text.encode()), config)
    elif text.strip():
        yield Record("", "text", text)
    else:
        yield RecordFault("", "a document without text", by_rule=True)


def _unwrap(body: "BaseOxmlElement") -> None:
    """Take wraps from around what they hold, which python-docx passes over."""
    from docx.oxml.ns import qn

    for each in list(body.iter(*(qn(f"w:{name}") for name in _WRAPS))):
        parent = each.getparent()
        if parent is not None:
            at = parent.index(each)
            parent[at : at + 1] = list(each)


def _write_blocks(holder: "DocumentObject | _Cell") -> list[str]:
    from docx.text.paragraph import Paragraph

    blocks: list[str] = []
    for part in holder.iter_inner_content():
        if isinstance(part, Paragraph):
            style = part.style.name if part.style is not None and part.style.name else ""
            level = style.removeprefix("Heading ")
            mark = "#" * int(level) + " " if level != style and level.isdigit() else ""
            blocks.append(mark + part.text if part.text.strip() else "")
        else:
            rows = ("\t".join(map(_write_cell, row.cells)) for row in part.rows)
            blocks.append("\n".join(rows))
    return blocks


def _write_cell(cell: "_Cell") -> str:
    return "\n".join(_write_blocks(cell)).strip()


def _unpacked(stream: IO[bytes]) -> int:
    return sum(entry.file_size for entry in zipfile.ZipFile(stream).infolist())
