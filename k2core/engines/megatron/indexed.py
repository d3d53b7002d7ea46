"""Write token sequences as a Megatron IndexedDataset, by Megatron's own builder."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder
from numpy.typing import NDArray


class IndexedWriter:
    """`prefix.bin` and `prefix.idx`, one document a sequence; whole when the context is left."""

    def __init__(self, prefix: Path, vocab_size: int) -> None:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        self._prefix = prefix
        dtype = DType.optimal_dtype(vocab_size)
        self._builder = IndexedDatasetBuilder(str(prefix.with_suffix(".bin")), dtype=dtype)

    def add(self, sequence: NDArray[np.integer]) -> None:
        """Append a document."""
        # The builder casts to its own dtype; torch has no arithmetic on uint16 to disturb.
        self._builder.add_document(torch.from_numpy(sequence.astype(np.int64)), [len(sequence)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the index, unless something failed."""
        if kind is None:
            self._builder.finalize(str(self._prefix.with_suffix(".idx")))


def write_indexed(
    prefix: Path, sequences: Iterable[NDArray[np.integer]], vocab_size: int
) -> list[int]:
    """Write all sequences; returns their lengths."""
    lengths = []
    with IndexedWriter(prefix, vocab_size) as writer:
        for sequence in sequences:
            writer.add(sequence)
            lengths.append(len(sequence))
    return lengths
