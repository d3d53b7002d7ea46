"""Reads a file of problems: JSON lines or parquet, near or in a bucket, row by row."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import polars as pl
from pydantic import JsonValue

from k2core.problems.rows import RowError
from k2core.store.bucket import Bucket
from schemas.outside import NotJsonError, make_plain, read_json
from schemas.problems import FileSource

_PARQUET = b"PAR1"


class ProblemSourceError(ValueError):
    """A source of problems that cannot be used at all; names it, and says what would be right."""


class NumberedRow(NamedTuple):
    """A row, or why it is none."""

    number: int
    """From 1 on, as editors count lines."""
    found: Mapping[str, JsonValue] | RowError


def read_bytes(source: FileSource) -> bytes:
    """The file.

    Raises:
        SourceError: it is not there, or is another than the config was stated for.
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

    Raises:
        SourceError: it is no file of rows.
    """
    if content.startswith(_PARQUET):
        yield from _parquet_rows(content, source)
        return
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
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


def _parquet_rows(content: bytes, source: FileSource) -> Iterator[NumberedRow]:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ProblemSourceError(
            f"{source.name}: {source.path} is no whole parquet: {error}"
        ) from None
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
