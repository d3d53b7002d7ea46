"""Dialogues into rows: several a row, each whole, each its own segment."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from k2core.chat import EncodedDialogue
    from k2core.engines.megatron.batch import Batch

_OPEN_ROWS = 64
_PADDING = -1


class PackedRow(NamedTuple):
    """Indices of the dialogues that share a row."""

    dialogues: list[int]
    length: int


def drop_long(
    dialogues: "Sequence[EncodedDialogue]", row_length: int, max_skipped_frac: float
) -> "list[EncodedDialogue]":
    """What fits into a row.

    Raises:
        ValueError: too many do not.
    """
    kept = [dialogue for dialogue in dialogues if len(dialogue.ids) - 1 <= row_length]
    skipped = len(dialogues) - len(kept)
    if skipped > max_skipped_frac * len(dialogues):
        longest = max(len(dialogue.ids) for dialogue in dialogues)
        raise ValueError(
            f"{skipped} of {len(dialogues)} dialogues are longer than sft.sequence_length="
            f"{row_length} (the longest has {longest} tokens): raise it, or max_skipped_frac"
        )
    return kept


def pack(lengths: Sequence[int], row_length: int, order: Sequence[int]) -> list[PackedRow]:
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
    """The row of any number: epoch after epoch, each shuffled by its own seed."""

    def __init__(self, lengths: Sequence[int], row_length: int, seed: int) -> None:
        self._lengths = lengths
        self._row_length = row_length
        self._seed = seed
        self._rows: list[PackedRow] = []
        self.num_epochs = 0

    def row(self, number: int) -> PackedRow:
        """Row `number`, counted over all epochs."""
        while number >= len(self._rows):
            rng = random.Random(f"{self._seed}/{self.num_epochs}")
            order = list(range(len(self._lengths)))
            rng.shuffle(order)
            rows = pack(self._lengths, self._row_length, order)
            rng.shuffle(rows)
            self._rows += rows
            self.num_epochs += 1
        return self._rows[number]


def build_batch(
    rows: Sequence[PackedRow],
    dialogues: "Sequence[EncodedDialogue]",
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
