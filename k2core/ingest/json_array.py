"""The rows of a JSON array, one at a time, each read as a row of JSON lines is.

Where a row ends its quotes and brackets alone tell, so that what else is wrong with one is its own
fault. After one that does not end the next is looked for on a line that begins as the first does.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from k2core.ingest.charset import guess_charset
from k2core.ingest.feed import ByteFeed, in_utf8
from k2core.ingest.jsonl import NO_JSON, read_values, too_large
from k2core.ingest.looks import BEFORE_ROWS
from k2core.ingest.records import FileFaultError, Record, RecordFault
from schemas.ingest import FilesConfig

_MOST_OF_ROW = 4
"""A row may have so many times `max_document_bytes`: escapes, and fields beside the text."""
_STEP = 1 << 16
_OVERLAP = 1 << 10
_BEGIN = re.compile(rb"[^\s,]")
_TOKEN = re.compile(rb'"(?:[^"\\\n]++|\\.)*+"|["{}\[\]]', re.DOTALL)
"""A string, a quote that opens none, or a bracket."""
_SCALAR = re.compile(rb'[^\s,"{}\[\]]+')
_INDENT = re.compile(rb"\n[ \t]*\Z")
_MOST_AGAIN = 8
"""So many times the bytes read may be looked at again after rows that do not end."""


def read_array(feed: ByteFeed, config: FilesConfig) -> Iterator[Record | RecordFault]:
    """The rows of an array, or of several one after another."""
    feed = in_utf8(feed)
    charset = guess_charset(feed.peek(_STEP), feed.charset)
    window = _Window(feed)
    limit, number, inside = _MOST_OF_ROW * config.max_document_bytes, 0, False
    next_row: re.Pattern[bytes] | None = None
    while sign := window.go_to(_BEGIN):
        if sign == b"]" or (sign == b"[" and not inside):
            inside = sign == b"["
            window.at += 1
            continue
        number += 1
        next_row = next_row or re.compile(window.indent() + rb"\{")
        found, place = window.take(limit), f"item {number}"
        if isinstance(found, int):
            if not window.skip_to(next_row):
                raise FileFaultError(f"after item {number - 1}: a row that does not end")
            yield too_large(place, found, config) if found > limit else _no_end(place)
            continue
        for each in read_values(place, found, config, charset):
            failed = isinstance(each, RecordFault) and each.kind == NO_JSON
            if failed and (inner := next_row.search(found)):
                window.go_back(len(found) - inner.end() + 1)  # some brackets are the next one's
            yield each
    if inside:
        raise FileFaultError(f"after item {number}: the array does not end")


def _no_end(place: str) -> RecordFault:
    return RecordFault(place, NO_JSON, "a string or a bracket that does not end")


class _Window:
    """Bytes of a feed from some place on, as many as are asked for."""

    def __init__(self, feed: ByteFeed) -> None:
        self._feed = feed
        self.data = feed.read(_STEP).lstrip(BEFORE_ROWS)
        self.at = 0
        self._num_read, self._num_again = len(self.data), 0

    def indent(self) -> bytes:
        """As a pattern, the line's end and the spaces before this place; one or none if none is."""
        found = _INDENT.search(self.data[max(0, self.at - _OVERLAP) : self.at])
        return re.escape(found[0]) if found else rb"\n ?"

    def go_to(self, pattern: re.Pattern[bytes]) -> bytes:
        """Go where it is found next; returns what it found, nothing at the end."""
        while not (found := pattern.search(self.data, self.at)):
            self.at = max(self.at, len(self.data) - _OVERLAP)
            if not self._more():
                return b""
        self.at = found.start()
        return found[0]

    def take(self, limit: int) -> bytes | int:
        """The value that begins here; if it does not end, in how many bytes."""
        while not (end := _find_end(self.data, self.at)).found:
            size = end.place - self.at
            if end.broken or size > limit or not self._more():
                self._look_again(size)
                return size
        start, self.at = self.at, end.place
        return self.data[start : end.place]

    def go_back(self, count: int) -> None:
        """Look at so many of the bytes that were just taken again."""
        self._look_again(count)
        self.at -= count

    def _look_again(self, count: int) -> None:
        self._num_again += count
        if self._num_again > _MOST_AGAIN * self._num_read:
            raise FileFaultError("too many rows that do not end")

    def skip_to(self, next_row: re.Pattern[bytes]) -> bool:
        """Go to the bracket of the next row; whether there is one."""
        self.at += 1
        found = self.go_to(next_row)
        self.at += max(0, len(found) - 1)
        return bool(found)

    def _more(self) -> bool:
        """Twice as many as there are from this place on; False at the end."""
        self.data, self.at = self.data[self.at :], 0
        part = self._feed.read(max(_STEP, len(self.data)))
        self.data += part
        self._num_read += len(part)
        return bool(part)


class _End(NamedTuple):
    place: int
    found: bool = True
    broken: bool = False
    """It has none, whatever follows."""


def _find_end(data: bytes, start: int) -> _End:
    """Where the value that begins there ends, or how far it was looked for."""
    if data[start : start + 1] not in (b'"', b"{", b"["):
        scalar = _SCALAR.match(data, start)
        end = scalar.end() if scalar else start + 1
        return _End(end, found=end < len(data))
    depth = 0
    for token in _TOKEN.finditer(data, start):
        sign = token[0]
        if sign == b'"':  # a string may not go over a line's end
            broken = data.find(b"\n", token.end()) >= 0
            return _End(token.end() if broken else len(data), found=False, broken=broken)
        depth += (sign in (b"{", b"[")) - (sign in (b"}", b"]"))
        if not depth:
            return _End(token.end())
    return _End(len(data), found=False)
