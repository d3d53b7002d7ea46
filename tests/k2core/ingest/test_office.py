"""PDF and DOCX: what is in them, what a damaged one says, and what is missing without the extra."""

import io

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from k2core.ingest.folder import read_file
from k2core.ingest.places import File
from k2core.ingest.records import Record, RecordFault
from schemas.ingest import FilesConfig


def pdf(*texts: str, password: str = "") -> bytes:
    book = PdfWriter()
    font = DictionaryObject()
    for name, value in (("Type", "Font"), ("Subtype", "Type1"), ("BaseFont", "Helvetica")):
        font[NameObject(f"/{name}")] = NameObject(f"/{value}")
    for text in texts:
        page = book.add_blank_page(300, 300)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = stream
    if password:
        book.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    book.write(out)
    return out.getvalue()


def word() -> bytes:
    document = docx.Document()
    document.add_heading("On bees", 2)
    document.add_paragraph("They dance.")
    cells = document.add_table(1, 2).rows[0].cells
    cells[0].text, cells[1].text = "a", "b"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def read(data: bytes, name: str = "a.bin") -> list[Record | RecordFault]:
    config = FilesConfig(folder="f", license="MIT")
    return list(read_file(File(name, len(data), lambda: io.BytesIO(data)), config))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (pdf("First page", "Second"), "First page\n\nSecond"),
        (word(), "## On bees\n\nThey dance.\n\na\tb"),
    ],
)
def test_documents_are_told_by_content_and_read(data: bytes, text: str) -> None:
    (found,) = read(data)
    assert isinstance(found, Record)
    assert found.text == text


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (pdf("x", password="secret"), "a PDF with a password"),
        (b"%PDF-1.4\n1 0 obj", "no PDF that can be read"),
        (word()[:3000], "no DOCX that can be read"),
    ],
)
def test_what_cannot_be_read_is_a_fault(data: bytes, detail: str) -> None:
    (found,) = read(data, "a.docx")
    assert isinstance(found, RecordFault)
    assert not found.by_rule
    assert detail in found.detail


def test_a_scan_is_left_out_by_rule() -> None:
    (found,) = read(pdf(""))
    assert isinstance(found, RecordFault)
    assert found.by_rule
