"""Read a Megatron IndexedDataset without importing Megatron: a memory map and its index.

Layout of `.idx` (megatron.core.datasets.indexed_dataset): magic, u64 version, u8 dtype code, u64
number of sequences, u64 number of documents, then i32 lengths and i64 byte offsets.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<9sQBQQ")
_MAGIC = b"MMIDIDX\x00\x00"
_DTYPES = {4: np.int32, 5: np.int64, 8: np.uint16}


class IndexedTokens(NamedTuple):
    """Sequences of tokens, one a document."""

    tokens: NDArray[np.generic]
    """All sequences end to end, memory-mapped."""
    lengths: NDArray[np.int64]
    """Tokens of each sequence."""
    starts: NDArray[np.int64]
    """Where each sequence starts in `tokens`."""

    def read(self, index: int, start: int = 0, length: int | None = None) -> NDArray[np.int64]:
        """Tokens of one sequence, or of a part of it."""
        first = int(self.starts[index]) + start
        end = int(self.starts[index] + self.lengths[index])
        stop = end if length is None else min(first + length, end)
        return self.tokens[first:stop].astype(np.int64)


def open_indexed(prefix: Path) -> IndexedTokens:
    """Open `prefix.idx` and `prefix.bin`.

    Raises:
        ValueError: a file is not what it should be; the message names it.
    """
    index_path, tokens_path = prefix.with_suffix(".idx"), prefix.with_suffix(".bin")
    index = index_path.read_bytes()
    if len(index) < _HEADER.size or not index.startswith(_MAGIC):
        raise ValueError(f"{index_path} is not a Megatron index: it should start with {_MAGIC!r}")
    _, version, code, num_sequences, _ = _HEADER.unpack_from(index)
    if version != 1 or code not in _DTYPES:
        raise ValueError(
            f"{index_path}: version {version}, dtype {code}; wanted 1 and {[*_DTYPES]}"
        )
    dtype = np.dtype(_DTYPES[code])
    if len(index) < _HEADER.size + 12 * num_sequences:
        raise ValueError(f"{index_path} is cut short: {num_sequences} sequences do not fit in it")
    lengths = np.frombuffer(index, "<i4", num_sequences, _HEADER.size).astype(np.int64)
    offsets = np.frombuffer(index, "<i8", num_sequences, _HEADER.size + 4 * num_sequences)
    wanted, found = int(lengths.sum()) * dtype.itemsize, tokens_path.stat().st_size
    if wanted != found:
        raise ValueError(f"{tokens_path} has {found} bytes; its index says {wanted}")
    # An empty file cannot be mapped.
    tokens = np.memmap(tokens_path, dtype, "r") if found else np.empty(0, dtype)
    return IndexedTokens(tokens, lengths, offsets // dtype.itemsize)
