"""Dialogues into rows: several a row, each whole, each its own segment."""

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from k2core.tokens import Permutation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from k2core.chat import EncodedDialogue
    from k2core.engines.megatron.batch import Batch

_OPEN_ROWS = 64
_BLOCK = 4096
"""Dialogues that are packed together."""
_PADDING = -1


class PackedRow(NamedTuple):
    """Indices of the dialogues that share a row."""

    dialogues: list[int]
    length: int


class ByNumber(Protocol):
    """Dialogues that are read where asked."""

    def __getitem__(self, number: int, /) -> "EncodedDialogue":
        """One of them."""


def pack(
    lengths: Sequence[int] | Mapping[int, int], row_length: int, order: Sequence[int]
) -> list[PackedRow]:
    """First fit over the newest open rows, in the given order.

    Args:
        lengths: tokens of each dialogue; none longer than a row.
        row_length: tokens a row.
        order: the dialogues, shuffled.
    """
    rows: list[PackedRow] = []
    for index in order:
        for place in range(len(rows) - 1, max(-1, len(rows) - 1 - _OPEN_ROWS), -1):
            row = rows[place]
            if row.length + lengths[index] <= row_length:
                rows[place] = PackedRow([*row.dialogues, index], row.length + lengths[index])
                break
        else:
            rows.append(PackedRow([index], lengths[index]))
    return rows


class Epochs:
    """The row of any number: epoch after epoch, each shuffled by its own seed.

    A shuffled epoch is cut into blocks of some thousand dialogues, each packed for itself: what is
    in memory are a few blocks and how many rows each one made, on every rank alike.

    Args:
        lengths: tokens of each dialogue; none longer than a row.
        row_length: tokens a row.
        seed: of the orders.
    """

    def __init__(
        self, lengths: "Sequence[int] | NDArray[np.integer]", row_length: int, seed: int
    ) -> None:
        self._lengths, self._row_length, self._seed = lengths, row_length, seed
        self._blocks_an_epoch = -(-len(lengths) // _BLOCK)
        self._ends: list[int] = []
        """Rows up to the end of each block that was packed so far, over all epochs."""
        self._pack = lru_cache(maxsize=4)(self._pack_block)

    def row(self, number: int) -> PackedRow:
        """Row `number`, counted over all epochs."""
        block = self._block_of(number)
        return self._pack(block)[number - (self._ends[block - 1] if block else 0)]

    def epoch_of(self, number: int) -> int:
        """The epoch, counted from 0, that a row is of."""
        return self._block_of(number) // self._blocks_an_epoch

    def _block_of(self, number: int) -> int:
        while not self._ends or self._ends[-1] <= number:
            made = len(self._pack(len(self._ends)))
            self._ends.append(made + (self._ends[-1] if self._ends else 0))
        return bisect_right(self._ends, number)

    def _pack_block(self, block: int) -> list[PackedRow]:
        epoch, part = divmod(block, self._blocks_an_epoch)
        order = Permutation(len(self._lengths), (self._seed, "dialogues", epoch))
        places = range(part * _BLOCK, min((part + 1) * _BLOCK, order.size))
        dialogues = [order[place] for place in places]
        lengths = {index: int(self._lengths[index]) for index in dialogues}
        rows = pack(lengths, self._row_length, dialogues)
        random.Random(f"{self._seed}/{block}").shuffle(rows)
        return rows


def build_batch(
    rows: Sequence[PackedRow],
    dialogues: ByNumber,
    row_length: int,
    pad_id: int,
) -> "Batch":
    """Inputs, next tokens, and weight 1 where the next token is the assistant's."""
    import torch

    from k2core.engines.megatron.batch import Batch

    shape = len(rows), row_length
    tokens, labels = torch.full(shape, pad_id), torch.full(shape, pad_id)
    mask, segments = torch.zeros(shape), torch.full(shape, _PADDING)
    for place, row in enumerate(rows):
        start = 0
        for segment, index in enumerate(row.dialogues):
            ids, learned = dialogues[index]
            width = len(ids) - 1  # the last token predicts nothing
            end = start + width
            tokens[place, start:end] = torch.tensor(ids[:-1])
            labels[place, start:end] = torch.tensor(ids[1:])
            mask[place, start:end] = torch.tensor(learned[1:], dtype=torch.float32)
            segments[place, start:end] = segment
            start = end
    return Batch(tokens, labels, mask, segments)
