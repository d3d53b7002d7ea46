"""gzip, bzip2, xz and zstd, told by their first bytes, in as many members as there are.

A damaged member (a stream of bzip2 or xz, a frame of zstd) is stepped over: what follows begins at
the next one's magic number.
"""

import io
from typing import IO

from k2core.ingest.feed import ByteFeed, raw_reader
from k2core.ingest.members import KINDS, DamagedError, Kind, read_dictionary
from k2core.ingest.records import FileFaultError, RecordFault
from schemas.ingest import FilesConfig

_BOMB_FLOOR = 16_000_000
"""Below so many bytes nothing counts as a bomb."""
_CHECKED = 16_000_000
"""A member of at most so many bytes is checked before any of it is given out."""
_STEP = 1 << 16
_LONGEST = 10
"""Bytes of a magic number."""
ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".bgz")
_PROBE = 1024
_MOST_FAULTS = 10_000


def open_feed(stream: IO[bytes], name: str, size: int, config: FilesConfig) -> "OpenedFeed":
    """The bytes of a file behind whatever compresses it."""
    magic = stream.read(_LONGEST)
    stream.seek(0)
    stem, lower = name.lower(), name.lower()
    if lower.endswith(ENDINGS):
        stem = lower.rpartition(".")[0]
    kind = next((each for each in KINDS if each.magic.match(magic)), None)
    if kind:
        members = Members(stream, read_dictionary(stream, kind))
        limit = max(_BOMB_FLOOR, size * config.max_expansion)
        limited = raw_reader(_Limited(raw_reader(members), limit))
        return OpenedFeed(ByteFeed(limited, plain=False, name=stem), members)
    if stem != lower:
        raise FileFaultError(f"it is not compressed as its ending says: it begins with {magic!r}")
    return OpenedFeed(ByteFeed(stream, plain=True, name=stem), None)


class OpenedFeed:
    """A feed, and what its decompression found wrong."""

    def __init__(self, feed: ByteFeed, members: "Members | None") -> None:
        self.feed = feed
        self._members = members

    def take_faults(self) -> list[RecordFault]:
        """Those since the last call."""
        if self._members is None:
            return []
        found, self._members.faults = self._members.faults, []
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


class Members(io.RawIOBase):
    """The bytes of all members that are whole, and of the last as far as it goes."""

    def __init__(self, stream: IO[bytes], kind: Kind) -> None:
        self.faults: list[RecordFault] = []
        self._stream, self._kind = stream, kind
        self._input = b""
        self._at = 0  # of the input's first byte in the file
        self._start = 0  # of the member in the file
        self._number = 0
        self._checked = False
        self._output = memoryview(b"")
        self._member = kind.begin()

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
        self._member = self._kind.begin()
        self._checked = True
        return self._inflate_some([], _CHECKED)

    def _inflate_some(self, parts: list[bytes], most: int) -> bool:
        fresh = most == _CHECKED
        size = 0
        try:
            while size < most:
                data, ended = self._inflate_once()
                parts.append(data)
                size += len(data)
                if ended:
                    self._checked = False
                    break
        except (DamagedError, EOFError) as error:
            self._checked = False
            self._step_over(parts, error, fresh=fresh)
        self._output = memoryview(b"".join(parts))
        return bool(self._output) or self._checked or bool(self._input) or self._fill()

    def _inflate_once(self) -> tuple[bytes, bool]:
        more = self._fill()
        data, rest, ended = self._member(self._input)
        if not (more or data or ended):
            raise EOFError("the compressed stream is cut short")
        self._at += len(self._input) - len(rest)
        self._input = rest
        return data, ended

    @property
    def _place(self) -> str:
        return f"member {self._number}"

    def _step_over(self, parts: list[bytes], error: Exception, *, fresh: bool) -> None:
        """Drop a member that is damaged if another follows; else give out what was read of it."""
        self._seek(self._start + 1)
        found = self._find_member(after_damage=True)
        cut = isinstance(error, EOFError) and not found
        damaged = f"a member of {self._kind.name} is damaged"
        self._add(RecordFault(self._place, str(error) if cut else damaged, str(error)))
        if found and fresh:
            parts.clear()
        elif found:
            parts.append(b"\n\n")  # what follows is no part of the last line

    def _add(self, fault: RecordFault) -> None:
        self.faults.append(fault)
        if len(self.faults) > _MOST_FAULTS:
            raise FileFaultError(f"more than {_MOST_FAULTS} damaged members one after another")

    def _find_member(self, *, after_damage: bool = False) -> bool:
        """Go to the next magic number whose member can be begun."""
        strange = found = False
        while not found and self._fill(32):
            at = self._next_magic(0)
            # Where one must begin it does, damaged or not; elsewhere the bytes may be chance.
            strange |= bool(self._input[: max(at, 0) or 2].strip(b"\0")) if at else False
            found = at >= 0 and not (strange or after_damage)
            while at >= 0 and not found:
                found = self._begins_member(self._input[at : at + _PROBE])
                at = at if found else self._next_magic(at + 1)
            # The last bytes may be the start of a magic number.
            self._drop(at if found else max(1, len(self._input) - _LONGEST + 1))
        if strange and not after_damage:
            self._add(RecordFault(self._place, f"bytes between {self._kind.name} members"))
        self._start = self._at
        return found

    def _next_magic(self, start: int) -> int:
        found = self._kind.magic.search(self._input, start)
        return found.start() if found else -1

    def _begins_member(self, data: bytes) -> bool:
        """Whether something comes out of it; what is none fails, or has a header without end."""
        try:
            out, _, ended = self._kind.begin()(data)
        except DamagedError:
            return False
        return bool(out) or ended or not self._kind.gives_at_once

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
