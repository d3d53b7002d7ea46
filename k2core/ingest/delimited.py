"""CSV and TSV with a line of column names: a document a row."""

import csv
import re
from collections.abc import Iterator

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
    """Fields between tabs."""
    return _read(in_utf8(feed), "\t", config)


def _read(feed: ByteFeed, delimiter: str, config: FilesConfig) -> Iterator[Record | RecordFault]:
    csv.field_size_limit(config.max_document_bytes)
    lines = _Lines(feed, config.max_document_bytes)
    rows = csv.reader(lines, delimiter=delimiter)
    names = [name.strip() for name in next(rows, [])]
    if config.text_field not in names:
        found = ", ".join(names[:20])[:500]
        raise FileFaultError(f"no column {config.text_field!r}: the first line has {found}")
    number = 1
    while True:
        number += 1
        place = f"row {number}"
        lines.repair = ""
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield RecordFault(place, "no row of the table", str(error))
            continue
        if row is None:
            return
        if lines.num_too_long:
            yield too_large(place, config.max_document_bytes, config)
            lines.num_too_long = 0
        elif len(row) != len(names) and row:
            yield RecordFault(place, "a row of other columns", f"{len(row)} of {len(names)}")
        elif row:
            given = read_row(place, dict(zip(names, row, strict=True)), config)
            if isinstance(given, Record) and not given.repair:
                given = given._replace(repair=lines.repair)
            yield given


class _Lines:
    """Lines of text; of one that is too long nothing is kept."""

    def __init__(self, feed: ByteFeed, limit: int) -> None:
        self._feed, self._limit = feed, limit
        self.repair, self.num_too_long = "", 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._feed.line(self._limit)
        if not line:
            raise StopIteration
        if len(line) > self._limit:
            self._feed.skip_line()
            self.num_too_long += 1
            return "\n"
        text, repair = decode(line)
        self.repair = self.repair or repair
        return text
