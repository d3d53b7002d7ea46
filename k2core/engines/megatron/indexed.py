"""Write token sequences as a Megatron IndexedDataset, by Megatron's own builder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder
from numpy.typing import NDArray


def write_indexed(
    prefix: Path, sequences: Iterable[NDArray[np.integer]], vocab_size: int
) -> list[int]:
    """Write `prefix.bin` and `prefix.idx`, one document a sequence; returns their lengths."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    dtype = DType.optimal_dtype(vocab_size)
    builder = IndexedDatasetBuilder(str(prefix.with_suffix(".bin")), dtype=dtype)
    lengths = []
    for sequence in sequences:
        # The builder casts to its own dtype; torch has no arithmetic on uint16 to disturb.
        builder.add_document(torch.from_numpy(sequence.astype(np.int64)), [len(sequence)])
        lengths.append(len(sequence))
    builder.finalize(str(prefix.with_suffix(".idx")))
    return lengths
