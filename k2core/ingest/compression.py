"""gzip, bzip2, xz and zstd, told by their first bytes, in as many members as there are.

A damaged gzip member is stepped over: what follows begins at the next member's magic number.
"""

import bz2
import io
import lzma
import zlib
from typing import IO, cast

import pyarrow as pa

from k2core.ingest.feed import ByteFeed, raw_reader
from k2core.ingest.records import FileFaultError, RecordFault
from schemas.ingest import FilesConfig

_BOMB_FLOOR = 16_000_000
"""Below so many bytes nothing counts as a bomb."""
_CHECKED = 16_000_000
"""A member of at most so many bytes is checked before any of it is given out."""
_STEP = 1 << 16
_GZIP = b"\x1f\x8b\x08"
ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".bgz")
_PROBE = 1024
_DAMAGED = "a gzip member is damaged"
DECOMPRESSION_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)


def open_feed(stream: IO[bytes], name: str, size: int, config: FilesConfig) -> "OpenedFeed":
    """The bytes of a file behind whatever compresses it."""
    magic = stream.read(6)
    stream.seek(0)
    stem, lower = name.lower(), name.lower()
    if lower.endswith(ENDINGS):
        stem = lower.rpartition(".")[0]
    gzip: GzipMembers | None = None
    if magic.startswith(_GZIP):
        gzip = GzipMembers(stream)
        opened: IO[bytes] = raw_reader(gzip)
    elif magic.startswith(b"BZh"):
        opened = cast(IO[bytes], bz2.open(stream))  # noqa: SIM115 - its reader closes the stream
    elif magic == b"\xfd7zXZ\0":
        opened = cast(IO[bytes], lzma.open(stream))  # noqa: SIM115 - the same
    elif magic[:4] == b"\x28\xb5\x2f\xfd":
        found: object = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
        opened = cast(IO[bytes], found)
    elif stem != lower:
        raise FileFaultError(f"it is not compressed as its ending says: it begins with {magic!r}")
    else:
        return OpenedFeed(ByteFeed(stream, plain=True, name=stem), None)
    limited = raw_reader(_Limited(opened, max(_BOMB_FLOOR, size * config.max_expansion)))
    return OpenedFeed(ByteFeed(limited, plain=False, name=stem), gzip)


class OpenedFeed:
    """A feed, and what its decompression found wrong."""

    def __init__(self, feed: ByteFeed, gzip: "GzipMembers | None") -> None:
        self.feed = feed
        self._gzip = gzip

    def take_faults(self) -> list[RecordFault]:
        """Those since the last call."""
        if self._gzip is None:
            return []
        found, self._gzip.faults = self._gzip.faults, []
        return found


class _Limited(io.RawIOBase):
    """Refuses to expand without end."""

    def __init__(self, stream: IO[bytes], budget: int) -> None:
        self._stream, self._left, self._budget = stream, budget, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise FileFaultError(f"it expands to more than {self._budget} bytes: a bomb")
        buffer[: len(data)] = data
        return len(data)


class GzipMembers(io.RawIOBase):
    """The bytes of all members that are whole, and of the last as far as it goes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.faults: list[RecordFault] = []
        self._stream = stream
        self._input = b""
        self._at = 0  # of the input's first byte in the file
        self._start = 0  # of the member in the file
        self._number = 0
        self._checked = False
        self._output = memoryview(b"")
        self._member = zlib.decompressobj(31)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Some of the bytes."""
        while not self._output and self._advance():
            pass
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _advance(self) -> bool:
        """Set the next output; False at the end of the file."""
        if self._checked:  # the rest of a member too large to be checked first
            return self._inflate_some([], _STEP)
        if not self._find_member():
            return False
        self._number += 1
        self._member = zlib.decompressobj(31)
        self._checked = True
        return self._inflate_some([], _CHECKED)

    def _inflate_some(self, parts: list[bytes], most: int) -> bool:
        fresh = most == _CHECKED
        size = 0
        try:
            while size < most:
                self._need()
                data = self._member.decompress(self._input, _STEP)
                rest = (
                    self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                )
                self._at += len(self._input) - len(rest)
                self._input = rest
                parts.append(data)
                size += len(data)
                if self._member.eof:
                    self._checked = False
                    break
        except (zlib.error, EOFError) as error:
            self._checked = False
            self._step_over(parts, error, fresh=fresh)
        self._output = memoryview(b"".join(parts))
        return bool(self._output) or self._checked or bool(self._input) or self._fill()

    @property
    def _place(self) -> str:
        return f"member {self._number}"

    def _step_over(self, parts: list[bytes], error: Exception, *, fresh: bool) -> None:
        """Drop a member that is damaged if another follows; else give out what was read of it."""
        self._seek(self._start + 1)
        found = self._find_member(after_damage=True)
        cut = isinstance(error, EOFError) and not found
        self.faults.append(RecordFault(self._place, str(error) if cut else _DAMAGED, str(error)))
        if found and fresh:
            parts.clear()
        elif found:
            parts.append(b"\n\n")  # what follows is no part of the last line

    def _find_member(self, *, after_damage: bool = False) -> bool:
        """Go to the next magic number whose member can be begun."""
        strange = found = False
        while not found and self._fill(32):
            at = self._input.find(_GZIP)
            # Where one must begin it does, damaged or not; elsewhere the bytes may be chance.
            strange |= bool(self._input[: max(at, 0) or 2].strip(b"\0")) if at else False
            found = at >= 0 and not (strange or after_damage)
            while at >= 0 and not found:
                found = _begins_member(self._input[at : at + _PROBE])
                at = at if found else self._input.find(_GZIP, at + 1)
            # Two bytes at the end may be the start of a magic number.
            self._drop(at if found else max(1, len(self._input) - 2))
        if strange and not after_damage:
            self.faults.append(RecordFault(self._place, "bytes between gzip members"))
        self._start = self._at
        return found

    def _need(self) -> None:
        if not self._fill():
            raise EOFError("the compressed stream is cut short")

    def _fill(self, least: int = 1) -> bool:
        while len(self._input) < least and (more := self._stream.read(_STEP)):
            self._input += more
        return bool(self._input)

    def _drop(self, count: int) -> None:
        self._input = self._input[count:]
        self._at += count

    def _seek(self, place: int) -> None:
        self._stream.seek(place)
        self._input, self._at = b"", place


def _begins_member(data: bytes) -> bool:
    """Whether something comes out of it; what is no member fails, or has a header without end."""
    member = zlib.decompressobj(31)
    try:
        return bool(member.decompress(data)) or member.eof
    except zlib.error:
        return False
