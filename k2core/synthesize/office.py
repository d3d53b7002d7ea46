"""Office files as they lie on disk, read without the servers that wrote them.

ECMA-376 (Office Open XML): a zip archive; paragraphs are `w:p` with text in `w:t`, cells are `c`
with a reference, a type and a value, and texts that cells share lie in a table of their own.
"""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/'
    'vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/'
    'vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="word/document.xml" Type="http://schemas.openxmlformats.org/'
    'officeDocument/2006/relationships/officeDocument"/></Relationships>'
)


def write_docx(path: Path, paragraphs: Sequence[str]) -> None:
    """The smallest document with these paragraphs."""
    document = ElementTree.Element(f"{_WORD}document")
    body = ElementTree.SubElement(document, f"{_WORD}body")
    for text in paragraphs:
        run = ElementTree.SubElement(ElementTree.SubElement(body, f"{_WORD}p"), f"{_WORD}r")
        ElementTree.SubElement(run, f"{_WORD}t").text = text
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        archive.writestr("word/document.xml", ElementTree.tostring(document))


def read_docx(path: Path) -> list[str]:
    """Texts of a document's paragraphs, in order."""
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("word/document.xml"))
    return [
        "".join(text.text or "" for text in paragraph.iter(f"{_WORD}t"))
        for paragraph in root.iter(f"{_WORD}p")
    ]


def read_xlsx(path: Path) -> dict[str, str]:
    """Cells of a workbook's first sheet that hold something: reference -> text or number."""
    with zipfile.ZipFile(path) as archive:
        sheets = sorted(n for n in archive.namelist() if re.match(r"xl/worksheets/[^/]+\.xml", n))
        sheet = ElementTree.fromstring(archive.read(sheets[0]))
        shared: list[str] = []
        if "xl/sharedStrings.xml" in archive.namelist():
            table = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
            shared = [_text(item) for item in table.iter(f"{_SHEET}si")]
    cells = {}
    for cell in sheet.iter(f"{_SHEET}c"):
        value = cell.findtext(f"{_SHEET}v")
        if cell.get("t") == "s" and value is not None:
            cells[cell.attrib["r"]] = shared[int(value)]
        elif cell.get("t") == "inlineStr":
            cells[cell.attrib["r"]] = _text(cell)
        elif value is not None:
            cells[cell.attrib["r"]] = value
    return cells


def _text(element: ElementTree.Element) -> str:
    return "".join(text.text or "" for text in element.iter(f"{_SHEET}t"))
