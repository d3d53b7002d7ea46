"""What gzip, bzip2, xz and zstd have in common: members that begin with a magic number."""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import IO, NamedTuple

import zstandard

_STEP = 1 << 16
_MOST_MEMORY = 256 << 20
"""Of xz, whose files say how much they need."""
_FED = 4096
"""Bytes of zstd at a time, which become 128 MB at most."""
_DICTIONARY, _FRAME = b"\x5d\x2a\x4d\x18", b"\x28\xb5\x2f\xfd"
_MOST_DICTIONARY = 16 << 20


class DamagedError(ValueError):
    """A member that cannot be decompressed."""


class Inflated(NamedTuple):
    """What some bytes of a member gave."""

    data: bytes
    rest: bytes
    """Of the bytes, to be given again."""
    ended: bool


class Kind(NamedTuple):
    """A way to compress."""

    name: str
    magic: re.Pattern[bytes]
    begin: Callable[[], Callable[[bytes], Inflated]]
    """What decompresses the next member, some at a time."""
    gives_at_once: bool = False
    """Whether a thousand bytes give something, by which chance is told from a member."""


def read_dictionary(stream: IO[bytes], kind: Kind) -> Kind:
    """The kind with the dictionary that a file begins with, as `.warc.zst` have one."""
    start = stream.read(8)
    size = int.from_bytes(start[4:], "little")
    data = stream.read(size) if start[:4] == _DICTIONARY and size < _MOST_DICTIONARY else b""
    stream.seek(0)
    try:
        if data.startswith(_FRAME):
            whole = zstandard.ZstdDecompressor().stream_reader(data)
            data = whole.read(_MOST_DICTIONARY)
        if not data.startswith(b"\x37\xa4\x30\xec"):
            return kind
        frames = zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(data))
    except zstandard.ZstdError:
        return kind
    return kind._replace(begin=lambda: _begin_zstd(frames))


def _begin_gzip() -> Callable[[bytes], Inflated]:
    member = zlib.decompressobj(31)

    def inflate(data: bytes) -> Inflated:
        try:
            found = member.decompress(data, _STEP)
        except zlib.error as error:
            raise DamagedError(str(error)) from error
        rest = member.unused_data if member.eof else member.unconsumed_tail
        return Inflated(found, rest, member.eof)

    return inflate


def _begin_buffered(
    member: bz2.BZ2Decompressor | lzma.LZMADecompressor,
) -> Callable[[bytes], Inflated]:
    def inflate(data: bytes) -> Inflated:
        given, rest = (data, b"") if member.needs_input else (b"", data)
        try:
            found = member.decompress(given, _STEP)
        except (OSError, lzma.LZMAError, ValueError) as error:
            raise DamagedError(str(error)) from error
        return Inflated(found, member.unused_data + rest, member.eof)

    return inflate


def _begin_zstd(frames: zstandard.ZstdDecompressor) -> Callable[[bytes], Inflated]:
    member = frames.decompressobj()

    def inflate(data: bytes) -> Inflated:
        try:
            found = member.decompress(data[:_FED])
        except zstandard.ZstdError as error:
            raise DamagedError(str(error)) from error
        unused = member.unused_data if member.eof else b""
        return Inflated(found, unused + data[_FED:], member.eof)

    return inflate


KINDS = (
    Kind("gzip", re.compile(rb"\x1f\x8b\x08"), _begin_gzip, gives_at_once=True),
    Kind(
        "bzip2",
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
        lambda: _begin_buffered(bz2.BZ2Decompressor()),
    ),
    Kind(
        "xz",
        re.compile(rb"\xfd7zXZ\0"),
        lambda: _begin_buffered(lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_MEMORY)),
    ),
    Kind(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        lambda: _begin_zstd(zstandard.ZstdDecompressor()),
    ),
)
"""Of zstd also the frames that hold no data."""
