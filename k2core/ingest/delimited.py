"""CSV and TSV with a line of column names: a document a row."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k2core.ingest.charset import decode
from k2core.ingest.feed import ByteFeed, in_utf8
from k2core.ingest.jsonl import read_row, too_large
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_TOLD = re.compile(rb"(?:\xef\xbb\xbf)?sep=([,;|\t])", re.IGNORECASE)
"""The first line by which office programs are told what stands between fields."""


def read_commas(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Fields between commas, or between semicolons if the first line has more of them."""
    feed = in_utf8(feed)
    first = feed.peek(1 << 16).partition(b"\n")[0]
    if told := _TOLD.fullmatch(first.strip()):
        feed.line(len(first))
        return _read(feed, told[1].decode(), config)
    return _read(feed, ";" if first.count(b";") > first.count(b",") else ",", config)


def read_tabs(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Fields between tabs; a quote that does not enclose a field is a sign like others."""
    return _read(in_utf8(feed), "\t", config)


def _read(feed: ByteFeed, delimiter: str, config: FilesConfig) -> Iterator[Record | RecordFault]:
    csv.field_size_limit(config.max_document_bytes)
    lines = _Lines(feed, config.max_document_bytes)
    names = [name.strip() for name in _next_row(lines, delimiter).fields]
    if names.count(config.text_field) != 1:
        kind = "several columns" if config.text_field in names else "no column"
        first = ", ".join(names[:20])[:500]
        raise FileFaultError(f"{kind} {config.text_field!r}: the first line has {first}")
    number = 1
    while (found := _next_row(lines, delimiter)).lines:
        number += 1
        place = f"row {number}"
        if found.is_too_long:
            yield too_large(place, config.max_document_bytes, config)
        elif found.fault:
            yield RecordFault(place, "no row of the table", found.fault)
        elif len(found.fields) != len(names) and found.fields:
            columns = f"{len(found.fields)} of {len(names)}"
            yield RecordFault(place, "a row of other columns", columns)
        elif found.fields:
            given = read_row(place, dict(zip(names, found.fields, strict=True)), config)
            if isinstance(given, Record):
                given = given._replace(repair=given.repair or found.repair)
            yield given


class _Line(NamedTuple):
    text: str
    repair: str = ""
    is_too_long: bool = False
    """Nothing is kept of it."""


class _Row(NamedTuple):
    lines: list[_Line]
    """That it takes; none at the end."""
    fields: Sequence[str] = ()
    fault: str = ""

    @property
    def is_too_long(self) -> bool:
        return any(line.is_too_long for line in self.lines)

    @property
    def repair(self) -> str:
        return next((line.repair for line in self.lines if line.repair), "")


def _next_row(lines: "_Lines", delimiter: str) -> _Row:
    """The next row. Where quotes go wrong, it is its first line, and the others are read anew."""
    taken = list[_Line]()

    def take() -> Iterator[str]:
        while line := lines.take():
            taken.append(line)
            yield line.text

    try:
        fields = next(csv.reader(take(), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        lines.put_back(taken[1:])
        first = taken[:1]
        if delimiter == "\t":
            return _Row(first, first[0].text.rstrip("\r\n").split(delimiter))
        if first[0].text.count('"') % 2:
            return _Row(first, fault=str(error))
        return _Row(first, next(csv.reader([first[0].text], delimiter=delimiter)))
    return _Row(taken, fields)


class _Lines:
    """Lines of text, which may be put back."""

    def __init__(self, feed: ByteFeed, limit: int) -> None:
        self._feed, self._limit = feed, limit
        self._ahead = deque[_Line]()

    def take(self) -> _Line | None:
        """The next; None at the end."""
        if self._ahead:
            return self._ahead.popleft()
        line = self._feed.line(self._limit)
        if not line:
            return None
        if len(line) > self._limit:
            self._feed.skip_line()
            return _Line("\n", is_too_long=True)
        text, repair = decode(line)
        return _Line(text, repair)

    def put_back(self, lines: Sequence[_Line]) -> None:
        """They are the next."""
        self._ahead.extendleft(reversed(lines))
