"""The rows of a JSON array, one at a time: neither depth nor length of a row is without bound."""

from collections.abc import Iterator

import ijson

from k2core.ingest.feed import ByteFeed, in_utf8
from k2core.ingest.jsonl import read_row
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_MOST_DEPTH = 100
_MOST_OF_ROW = 4
"""A row may have so many times `max_document_bytes`: escapes, and fields beside the text."""
_STEP = 1 << 16


def read_array(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """The rows of an array; after a broken one nothing can be told."""
    source = _Bounded(in_utf8(feed), _MOST_OF_ROW * config.max_document_bytes)
    number = 0
    try:
        for row in _rows(source):
            number += 1
            source.start_row()
            place = f"item {number}"
            deep = isinstance(row, _TooDeep)
            yield RecordFault(place, "nested too deep") if deep else read_row(place, row, config)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise FileFaultError(f"after item {number}: {error}") from error


class _TooDeep:
    """In place of a row that is not held."""


class _Bounded:
    """A feed that refuses a row without end."""

    def __init__(self, feed: ByteFeed, limit: int) -> None:
        self._feed, self._limit, self._done = feed, limit, 0

    def start_row(self) -> None:
        """Count from here."""
        self._done = 0

    def read(self, count: int) -> bytes:
        """More of it; ijson asks for nothing first, to see whether it gets bytes."""
        if not count:
            return b""
        self._done += _STEP
        if self._done > self._limit + _STEP:
            raise FileFaultError(f"a row of more than {self._limit} bytes")
        return self._feed.read(_STEP)


def _rows(source: _Bounded) -> Iterator[object]:
    """The elements of the outermost array, without recursion."""
    depth, deep, builder = 0, False, ijson.ObjectBuilder()
    for event, value in ijson.basic_parse(source, use_float=True, buf_size=_STEP):
        starts, ends = event in _STARTS, event in _ENDS
        depth -= ends
        around = depth  # containers that are open around this value
        depth += starts
        deep |= depth > _MOST_DEPTH
        if around and not deep:
            builder.event(event, value)
        if around == 1 and not starts:
            yield _TooDeep() if deep else builder.value
            deep, builder = False, ijson.ObjectBuilder()


_STARTS = ("start_map", "start_array")
_ENDS = ("end_map", "end_array")
