"""CSV and TSV with a line of column names: a document a row."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k2core.ingest.charset import decode, guess_charset
from k2core.ingest.feed import ByteFeed, in_utf8, with_line_feeds
from k2core.ingest.jsonl import read_row, too_large
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_TOLD = re.compile(rb"(?:\xef\xbb\xbf)?sep=([,;|\t])", re.IGNORECASE)
"""The first line by which office programs are told what stands between fields."""
_BLANK = b"\xef\xbb\xbf \t\r,;"
_LOOK = 1 << 16


def read_commas(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Fields between commas, semicolons, tabs or bars: by which the first line has the column."""
    feed = with_line_feeds(in_utf8(feed))
    _skip_remarks(feed, config)
    first = feed.peek(_LOOK).partition(b"\n")[0]
    if told := _TOLD.fullmatch(first.strip()):
        feed.line(len(first))
        return _read(feed, told[1].decode(), config)
    names = first.decode("utf-8-sig", "replace")
    delimiters = sorted(",;\t|", key=names.count, reverse=True)
    split = (
        {name.strip() for name in next(csv.reader([names], delimiter=d), [])} for d in delimiters
    )
    found = (d for d, names in zip(delimiters, split, strict=True) if config.text_field in names)
    return _read(feed, next(found, delimiters[0]), config)


def _skip_remarks(feed: ByteFeed, config: FilesConfig) -> None:
    """Go to the line of names, behind empty lines and remarks."""
    while head := feed.peek(1 << 12):
        first = head.partition(b"\n")[0]
        if first.strip(_BLANK) and not first.startswith(b"#"):
            return
        if config.text_field.encode() in first:
            return
        feed.skip_line()


def read_tabs(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """Fields between tabs; a quote that does not enclose a field is a sign like others."""
    return _read(with_line_feeds(in_utf8(feed)), "\t", config)


def _read(feed: ByteFeed, delimiter: str, config: FilesConfig) -> Iterator[Record | RecordFault]:
    csv.field_size_limit(config.max_document_bytes)
    lines = _Lines(feed, config.max_document_bytes)
    names = _without_ends([name.strip() for name in _next_row(lines, delimiter).fields], 0)
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
        elif len(fields := _without_ends(found.fields, len(names))) != len(names) and fields:
            columns = f"{len(fields)} of {len(names)}"
            yield RecordFault(place, "a row of other columns", columns)
        elif fields:
            given = read_row(place, dict(zip(names, fields, strict=True)), config)
            if isinstance(given, Record):
                given = given._replace(repair=given.repair or found.repair)
            yield given


def _without_ends(fields: Sequence[str], least: int) -> Sequence[str]:
    """Fields without the empty ones beyond the last, which a delimiter at the end makes."""
    count = len(fields)
    while count > max(least, 1) and not fields[count - 1].strip():
        count -= 1
    return fields[:count]


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

    fault = ""
    for escape in (None, "\\"):
        lines.put_back(taken)
        taken.clear()
        try:
            # Not all double the quotes within a field: some put a backslash before them.
            fields = next(
                csv.reader(
                    take(),
                    delimiter=delimiter,
                    strict=True,
                    escapechar=escape,
                    doublequote=escape is None,
                ),
                [],
            )
        except csv.Error as error:
            fault = fault or str(error)
            if '\\"' not in taken[0].text:
                break
        else:
            return _Row(taken, fields)
    lines.put_back(taken[1:])
    return _row_of_line(taken[:1], fault, delimiter)


def _row_of_line(first: list[_Line], fault: str, delimiter: str) -> _Row:
    """A row whose quotes go wrong, of its first line alone."""
    if delimiter == "\t":
        return _Row(first, first[0].text.rstrip("\r\n").split(delimiter))
    if first[0].text.count('"') % 2:
        return _Row(first, fault=fault)
    return _Row(first, next(csv.reader([first[0].text], delimiter=delimiter)))


class _Lines:
    """Lines of text, which may be put back."""

    def __init__(self, feed: ByteFeed, limit: int) -> None:
        self._feed, self._limit = feed, limit
        self._charset = guess_charset(feed.peek(_LOOK), feed.charset)
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
        text, repair = decode(line, self._charset)
        return _Line(text, repair)

    def put_back(self, lines: Sequence[_Line]) -> None:
        """They are the next."""
        self._ahead.extendleft(reversed(lines))
