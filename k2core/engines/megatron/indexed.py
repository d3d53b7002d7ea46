"""Token sequences as Megatron IndexedDatasets: an index of lengths, and tokens one after another.

The index says where each document begins, so that its tokens may be written by anybody, in any
order (`prefix.bin`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from megatron.core.datasets.indexed_dataset import DType, _IndexWriter
from numpy.typing import NDArray


def token_type(vocab_size: int) -> np.dtype[np.integer]:
    """What a token is written as."""
    dtype: np.dtype[np.integer] = np.dtype(DType.optimal_dtype(vocab_size))
    return dtype


def write_index(prefix: Path, lengths: Sequence[int] | NDArray[np.integer], vocab_size: int) -> int:
    """Write `prefix.idx`, one document a sequence; returns the bytes of its `prefix.bin`."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    dtype = token_type(vocab_size)
    with _IndexWriter(str(prefix.with_suffix(".idx")), dtype.type) as index:
        index.write(lengths, None, np.arange(len(lengths) + 1))
    return int(np.sum(lengths)) * dtype.itemsize


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
