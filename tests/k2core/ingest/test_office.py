"""PDF and DOCX: what is in them, what a damaged one says, and what is missing without the extra."""

import io
import zipfile

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


def edited() -> bytes:
    """With a tracked change, a control of a form, and a table in a table."""
    run = "<w:r><w:t>{}</w:t></w:r>"
    paragraph = f"<w:p>{run}</w:p>"
    inner = f"<w:tbl><w:tr><w:tc>{paragraph.format('c')}</w:tc></w:tr></w:tbl>"
    changes = {
        run.format(
            "They dance."
        ): f"{run.format('They')}<w:del><w:r><w:delText>no</w:delText></w:r>"
        f"</w:del><w:ins>{run.format(' dance.')}</w:ins>",
        "<w:tbl>": f"<w:sdt><w:sdtContent>{paragraph.format('So.')}</w:sdtContent></w:sdt><w:tbl>",
        paragraph.format("b"): paragraph.format("b") + inner,
    }
    out, given = io.BytesIO(), zipfile.ZipFile(io.BytesIO(word()))
    with zipfile.ZipFile(out, "w") as made:
        for name in given.namelist():
            data = given.read(name)
            if name == "word/document.xml":
                for old, new in changes.items():
                    assert data.count(old.encode()) == 1
                    data = data.replace(old.encode(), new.encode())
            made.writestr(name, data)
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
        (b"mail\r\n" + pdf("First page"), "First page"),
        (word(), "## On bees\n\nThey dance.\n\na\tb"),
        (edited(), "## On bees\n\nThey dance.\n\nSo.\n\na\tb\nc"),
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


def test_a_page_that_would_take_minutes_is_a_fault() -> None:
    fault, record = read(pdf("x" * 4_100_000, "Second"))
    assert isinstance(fault, RecordFault)
    assert (fault.place, fault.kind) == ("page 1", "a page of too many commands")
    assert isinstance(record, Record)
    assert record.text == "Second"


def test_a_scan_is_left_out_by_rule() -> None:
    (found,) = read(pdf(""))
    assert isinstance(found, RecordFault)
    assert found.by_rule
