"""Reads a file of problems, near or in a bucket, row by row: JSON, CSV or parquet."""

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import polars as pl
from pydantic import JsonValue

from k2core.problems.faults import RowError
from k2core.store.bucket import Bucket
from schemas.outside import NotJsonError, make_plain, read_json
from schemas.problems import FileSource

_PARQUET = b"PAR1"
_POINTER = b"version https://git-lfs"
_COMPRESSED = {
    b"\x1f\x8b": (gzip.decompress, ".gz"),
    b"BZh": (bz2.decompress, ".bz2"),
    b"\xfd7zXZ\0": (lzma.decompress, ".xz"),
}
_LOOKED_AT = 65_536
_VALUE = re.compile(r"[^\s,]")


class ProblemSourceError(ValueError):
    """A source of problems that cannot be used at all; names it, and says what would be right."""


class NumberedRow(NamedTuple):
    """A row, or why it is none."""

    number: int
    """From 1 on; as editors count lines where a row is one."""
    found: Mapping[str, JsonValue] | RowError


def read_bytes(source: FileSource) -> bytes:
    """The file.

    Raises:
        ProblemSourceError: it is not there, or is another than the config was stated for.
    """
    try:
        if "://" in source.path:
            folder, _, name = source.path.rpartition("/")
            content = Bucket(folder).read(name)
        else:
            content = Path(source.path).read_bytes()
    except (OSError, ValueError) as error:
        raise ProblemSourceError(f"{source.name}: {source.path} cannot be read: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != source.digest:
        raise ProblemSourceError(
            f"{source.name}: {source.path} has SHA-256 {found}, and the config was stated for "
            f"{source.digest}: state it again, since other problems are another config"
        )
    return content


def read_rows(content: bytes, source: FileSource) -> Iterator[NumberedRow]:
    """Its rows in order; empty lines are none.

    Parquet, JSON lines, and JSON over several lines are told by their content, tables of text by
    their ending, `.csv` or `.tsv`; gzip, bzip2 and xz may be around them.

    Raises:
        ProblemSourceError: it is no file of rows.
    """
    name = source.path.lower()
    for magic, (decompress, ending) in _COMPRESSED.items():
        if content.startswith(magic):
            name = name.removesuffix(ending)
            try:
                content = decompress(content)
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                raise _unreadable(source, f"a whole {ending}", error) from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content.startswith(_POINTER):
        raise _unreadable(
            source, "here", "it is Git LFS's pointer to it; `git lfs pull` fetches it"
        )
    if b"\0" in content[:_LOOKED_AT] and not content.startswith(_PARQUET):
        raise _unreadable(source, "JSON, CSV or parquet", "it is binary, or not in UTF-8")
    start = content.lstrip()
    if content.startswith(_PARQUET):
        yield from _parquet_rows(content, source)
    elif name.endswith((".csv", ".tsv")):
        yield from _table_rows(content, "\t" if name.endswith(".tsv") else ",", source)
    elif start.startswith(b"[") or start.partition(b"\n")[0].strip() == b"{":
        yield from _listed_rows(content, source)
    else:
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line.strip():
                yield NumberedRow(number, _read_line(line, source))


def _read_line(line: bytes, source: FileSource) -> Mapping[str, JsonValue] | RowError:
    if len(line) > source.max_row_bytes:
        return _too_large(len(line), source)
    try:
        row = read_json(line)
    except NotJsonError as error:
        return RowError("row", f"is no JSON: {error}")
    return row if isinstance(row, dict) else RowError("row", "must be an object, {...}")


def _listed_rows(content: bytes, source: FileSource) -> Iterator[NumberedRow]:
    """The objects of an array, or one after the other over several lines each."""
    try:
        text = content.decode()
        values = json.loads(text) if text.lstrip().startswith("[") else list(_values(text))
    except (ValueError, RecursionError) as error:
        raise _unreadable(source, "JSON", error) from None
    for number, value in enumerate(values, start=1):
        if isinstance(value, dict):
            yield NumberedRow(number, _plain_row(value, source))
        else:
            yield NumberedRow(number, RowError("row", "must be an object, {...}"))


def _values(text: str) -> Iterator[object]:
    found, decoder = _VALUE.search(text), json.JSONDecoder()
    while found:
        value, end = decoder.raw_decode(text, found.start())
        yield value
        found = _VALUE.search(text, end)


def _table_rows(content: bytes, delimiter: str, source: FileSource) -> Iterator[NumberedRow]:
    """A row after the names; where it began is its number, as editors count lines."""
    csv.field_size_limit(source.max_row_bytes)
    begun = 0
    try:
        lines = io.StringIO(content.decode(), newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        names, begun = [name.strip() for name in next(reader, [])], reader.line_num
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise _unreadable(source, "a table", f"it has the names {twice} twice")
        for cells in reader:
            row = dict(zip(names, map(_read_cell, cells), strict=False))
            wrong = RowError("row", f"has {len(cells)} cells, and the names are {len(names)}")
            if cells:
                whole = len(cells) == len(names)
                yield NumberedRow(begun + 1, _plain_row(row, source) if whole else wrong)
            begun = reader.line_num
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(source, "a table", f"after line {begun}: {error}") from None


def _read_cell(cell: str) -> object:
    """A text, or the list or object that it is in JSON; None where it is empty."""
    if cell.lstrip().startswith(("[", "{")):
        with suppress(NotJsonError):
            return read_json(cell)
    return cell or None


def _parquet_rows(content: bytes, source: FileSource) -> Iterator[NumberedRow]:
    try:
        frame = pl.read_parquet(io.BytesIO(content)).fill_nan(None)  # as pandas writes no value
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(source, "whole parquet", error) from None
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        yield NumberedRow(number, _plain_row(row, source))


def _plain_row(row: Mapping[str, object], source: FileSource) -> Mapping[str, JsonValue] | RowError:
    """A row of JSON values; times and decimals become texts."""
    text = json.dumps(row, default=str, ensure_ascii=False)
    if len(text) > source.max_row_bytes:
        return _too_large(len(text), source)
    try:
        return cast("dict[str, JsonValue]", make_plain(read_json(text)))
    except NotJsonError as error:
        return RowError("row", str(error))


def _too_large(size: int, source: FileSource) -> RowError:
    return RowError(
        "row", f"has {size:,} bytes, more than max_row_bytes={source.max_row_bytes:,} allows"
    )


def _unreadable(source: FileSource, what: str, why: object) -> ProblemSourceError:
    return ProblemSourceError(f"{source.name}: {source.path} is not {what}: {why}")
