"""Megatron IndexedDatasets, written and read without importing Megatron (torch, four seconds).

Layout of `.idx` (megatron.core.datasets.indexed_dataset): magic, u64 version, u8 dtype code, u64
number of sequences, u64 number of document ends, then i32 lengths, i64 byte offsets and i64 ends:
the sequences before each document's end, from 0. Here a document is a sequence.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<9sQBQQ")
_MAGIC = b"MMIDIDX\x00\x00"
_DTYPES = {4: np.int32, 5: np.int64, 8: np.uint16}
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
BYTES_A_DOCUMENT = 4 + 8 + 8
"""What one takes of `.idx`."""


class Starts(Sequence[int]):
    """The first token of each sequence; read where asked, never as a whole."""

    def __init__(self, offsets: NDArray[np.int64], width: int) -> None:
        self._offsets, self._width = offsets, width

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [int(o) // self._width for o in self._offsets[index]]
        return int(self._offsets[index]) // self._width


class IndexedTokens(NamedTuple):
    """Sequences of tokens, one a document; all of it stays on disk."""

    tokens: NDArray[np.generic]
    """All sequences end to end, memory-mapped."""
    lengths: NDArray[np.int32]
    """Tokens of each sequence, memory-mapped."""
    starts: Starts
    """Where each sequence starts in `tokens`."""

    def read(self, index: int, start: int = 0, length: int | None = None) -> NDArray[np.int64]:
        """Tokens of one sequence, or of a part of it."""
        begin = self.starts[index]
        first, end = begin + start, begin + int(self.lengths[index])
        stop = end if length is None else min(first + length, end)
        return self.tokens[first:stop].astype(np.int64)

    def row_at(self, offset: int) -> int:
        """The sequence that holds a token, by bisection of the index."""
        return bisect_right(self.starts, offset) - 1


def open_indexed(prefix: Path) -> IndexedTokens:
    """Open `prefix.idx` and `prefix.bin`; as quick for a trillion tokens as for ten.

    Raises:
        ValueError: a file is not what it should be; the message names it.
    """
    index_path, tokens_path = prefix.with_suffix(".idx"), prefix.with_suffix(".bin")
    size = index_path.stat().st_size
    with index_path.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise ValueError(f"{index_path} is not a Megatron index: it should start with {_MAGIC!r}")
    _, version, code, num, _ = _HEADER.unpack(header)
    if version != 1 or code not in _DTYPES:
        raise ValueError(
            f"{index_path}: version {version}, dtype {code}; wanted 1 and {[*_DTYPES]}"
        )
    dtype = np.dtype(_DTYPES[code])
    if size < _HEADER.size + 12 * num:
        raise ValueError(f"{index_path} is cut short: {num} sequences do not fit in it")
    lengths, offsets = np.empty(0, "<i4"), np.empty(0, "<i8")
    if num:  # an empty array cannot be mapped
        index = np.memmap(index_path, np.uint8, "r")
        lengths = np.frombuffer(index, "<i4", num, _HEADER.size)
        offsets = np.frombuffer(index, "<i8", num, _HEADER.size + 4 * num)
    wanted = int(offsets[-1]) + int(lengths[-1]) * dtype.itemsize if num else 0
    found = tokens_path.stat().st_size
    if wanted != found:
        raise ValueError(f"{tokens_path} has {found} bytes; its index says {wanted}")
    tokens = np.memmap(tokens_path, dtype, "r") if found else np.empty(0, dtype)
    return IndexedTokens(tokens, lengths, Starts(offsets, dtype.itemsize))


def token_type(vocab_size: int) -> np.dtype[np.integer]:
    """What a token is written as: Megatron's choice (`DType.optimal_dtype`)."""
    return np.dtype(np.uint16 if vocab_size < 65_500 else np.int32)


def write_index(prefix: Path, lengths: Sequence[int] | NDArray[np.integer], vocab_size: int) -> int:
    """Write `prefix.idx`, one document a sequence; returns the bytes of its `prefix.bin`.

    It says where each document begins, so that the tokens may be written before it or after.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    dtype, sizes = token_type(vocab_size), np.asarray(lengths, "<i4")
    num_bytes = sizes * np.int64(dtype.itemsize)
    ends = np.cumsum(num_bytes)
    with prefix.with_suffix(".idx").open("wb") as index:
        index.write(_HEADER.pack(_MAGIC, 1, _CODES[dtype], len(sizes), len(sizes) + 1))
        for column in (sizes, ends - num_bytes, np.arange(len(sizes) + 1)):
            index.write(column.tobytes())
    return int(ends[-1]) if len(ends) else 0


def write_indexed(
    prefix: Path, sequences: Iterable[NDArray[np.integer]], vocab_size: int
) -> list[int]:
    """Write all sequences; returns their lengths."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    lengths, dtype = list[int](), token_type(vocab_size)
    with prefix.with_suffix(".bin").open("wb") as tokens:
        for sequence in sequences:
            tokens.write(sequence.astype(dtype).tobytes())
            lengths.append(len(sequence))
    write_index(prefix, lengths, vocab_size)
    return lengths
