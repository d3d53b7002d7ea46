"""Jupyter notebooks (nbformat 3 and 4): what was written in their cells, without what came out."""

import json
from collections.abc import Iterator, Mapping

from k2core.ingest.charset import decode, mend_surrogates
from k2core.ingest.feed import ByteFeed
from k2core.ingest.jsonl import too_large
from k2core.ingest.records import Record, RecordFault
from schemas.ingest import FilesConfig


def read_notebook(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """A file that is one document: prose as it is, code between fences."""
    data = feed.read(config.max_document_bytes + 1)
    if len(data) > config.max_document_bytes:
        yield too_large("", len(data), config)
        return
    try:
        notebook = json.loads(decode(data, feed.charset).text)
    except (ValueError, RecursionError) as error:
        yield RecordFault("", "no notebook", str(error)[:200])
        return
    language = _language(notebook)
    written = [_written(cell, language) for cell in _cells(notebook)]
    text, repair = mend_surrogates("\n\n".join(filter(None, written)))
    if text:
        yield Record("", "text", text, repair=repair)
    else:
        yield RecordFault("", "no notebook", "it has no cell with text")


def _cells(notebook: object) -> list[object]:
    sheets = [notebook, *_list_of(notebook, "worksheets")]
    return [cell for sheet in sheets for cell in _list_of(sheet, "cells")]


def _list_of(holder: object, name: str) -> list[object]:
    found = holder.get(name) if isinstance(holder, Mapping) else None
    return found if isinstance(found, list) else []


def _language(notebook: object) -> str:
    """As the kernel says it; empty if it does not."""
    for name in ("metadata", "kernelspec", "language"):
        notebook = notebook.get(name) if isinstance(notebook, Mapping) else None
    return notebook if isinstance(notebook, str) and notebook.isidentifier() else ""


def _written(cell: object, language: str) -> str:
    if not isinstance(cell, Mapping):
        return ""
    source = cell.get("source", cell.get("input"))
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str)).strip("\n")
    return f"```{language}\n{text}\n```" if text and cell.get("cell_type") == "code" else text
