"""A file's bytes, decompressed, with as many looked at ahead as it takes to tell a format."""

import codecs
import io
import tempfile
from collections.abc import Callable
from typing import IO

from k2core.ingest.wide import find_wide

_STEP = 1 << 16


class ByteFeed:
    """Bytes in order, of which some may be put back."""

    def __init__(self, stream: IO[bytes], *, plain: bool, name: str = "") -> None:
        self.name = name
        """The file's, in lower case and without the endings of compression."""
        self.charset = ""
        """What the place it was fetched from says of its text."""
        self._stream = stream
        self._plain = plain
        self._ahead = b""

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay."""
        while len(self._ahead) < count and (more := self._stream.read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """So many bytes; fewer only at the end."""
        parts = [self._ahead[:count]]
        self._ahead = self._ahead[count:]
        left = count - len(parts[0])
        while left and (more := self._stream.read(min(left, 1 << 20))):
            parts.append(more)
            left -= len(more)
        return b"".join(parts)

    def line(self, limit: int) -> bytes:
        """A line with its end; one byte more than `limit` if it is longer."""
        if not self._ahead:
            return self._stream.readline(limit + 1)
        end = self._ahead.find(b"\n", 0, limit + 1) + 1 or min(len(self._ahead), limit + 1)
        found, self._ahead = self._ahead[:end], self._ahead[end:]
        if found.endswith(b"\n") or len(found) > limit:
            return found
        return found + self._stream.readline(limit + 1 - len(found))

    def skip_line(self) -> int:
        """Leave out the rest of a line, whatever its length; returns its bytes."""
        done = 0
        while part := self.line(_STEP):
            done += len(part)
            if part.endswith(b"\n"):
                break
        return done

    def skip(self, count: int) -> int:
        """Leave out so many bytes; returns how many there were."""
        left = count
        while left and (part := self.read(min(left, 1 << 20))):
            left -= len(part)
        return count - left

    def skip_to(self, marker: bytes) -> bool:
        """Leave out everything before the next `marker`; whether there is one."""
        while part := self.peek(_STEP):
            at = part.find(marker)
            if at >= 0:
                self.skip(at)
                return True
            if len(part) < _STEP:
                self.skip(len(part))
            else:
                self.skip(len(part) - len(marker) + 1)
        return False

    def put_back(self, data: bytes) -> None:
        """Let these be the next bytes."""
        self._ahead = data + self._ahead

    def seekable(self) -> IO[bytes]:
        """All of it as a file in which one can go back; decompressed beside it if need be."""
        if self._plain:
            self._stream.seek(0)
            return self._stream
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - its reader closes it
        while part := self.read(1 << 20):
            copy.write(part)
        copy.seek(0)
        return copy


class _Converted(io.RawIOBase):
    """A feed's bytes as a function makes others of them."""

    def __init__(self, feed: ByteFeed, convert: Callable[[bytes], bytes]) -> None:
        self._feed, self._convert = feed, convert
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest and (part := self._feed.read(_STEP)):
            self._rest = self._convert(part)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def in_utf8(feed: ByteFeed) -> ByteFeed:
    """The same text with lines that can be told by their bytes: as UTF-8 if it is UTF-16."""
    head = feed.peek(4)
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        wide = "utf-32"
    elif head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        wide = "utf-16"
    else:
        wide = find_wide(feed.peek(_STEP))
    if not wide:
        return feed
    decoder = codecs.getincrementaldecoder(wide)("replace")
    return _convert(feed, lambda part: decoder.decode(part).encode("utf-8", "replace"))


def with_line_feeds(feed: ByteFeed) -> ByteFeed:
    """The same text with lines that end as usual, if carriage returns alone end its own."""
    head = feed.peek(_STEP)
    if b"\n" in head or b"\r" not in head[:-1]:
        return feed
    return _convert(feed, lambda part: part.replace(b"\r", b"\n"))


def _convert(feed: ByteFeed, convert: Callable[[bytes], bytes]) -> ByteFeed:
    return ByteFeed(raw_reader(_Converted(feed, convert)), plain=False, name=feed.name)


def raw_reader(stream: io.RawIOBase) -> io.BufferedReader:
    """Buffered, for lines."""
    return io.BufferedReader(stream, 1 << 17)
