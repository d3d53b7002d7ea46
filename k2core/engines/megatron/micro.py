"""A rank's rows in micro-batches, of shapes that all ranks of a layout can run in step."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from k2core.engines.megatron.batch import PADDING, Batch

LargestOverRanks = Callable[[Sequence[int]], list[int]]


class MicroBatch(NamedTuple):
    """What the model runs and what the objective sees of it."""

    padded: Batch
    """With rows and columns of padding that a layout asks for."""
    real: Batch
    """The rows as they were dealt; may be none."""


def cut_micro_batches(
    batch: Batch, rows: int, *, width_multiple: int, largest: LargestOverRanks | None
) -> list[MicroBatch]:
    """Cut a batch into forward passes.

    Args:
        batch: this rank's rows, with any number of them.
        rows: of a forward pass, at most.
        width_multiple: tensor-parallel ranks share a sequence evenly.
        largest: where ranks exchange activations (pipeline stages, experts): the element-wise
            maximum over ranks; all then run equally many passes of equal shapes.
    """
    starts = range(0, len(batch.tokens), rows)
    parts = [batch.select_rows(start, start + rows).cut_padding() for start in starts]
    if largest is None:
        shapes = [(len(part.tokens), part.tokens.size(1)) for part in parts]
    else:
        widest = max((part.tokens.size(1) for part in parts), default=1)
        highest = max((len(part.tokens) for part in parts), default=1)
        count, widest, highest = largest([len(parts), widest, highest])
        parts += [batch.select_rows(0, 0)] * (count - len(parts))
        shapes = [(highest, widest)] * count
    return [
        MicroBatch(_pad(part, height, -(-width // width_multiple) * width_multiple), part)
        for part, (height, width) in zip(parts, shapes, strict=True)
    ]


def row_temperatures(part: MicroBatch) -> Tensor | None:
    """[padded rows] what their logits are divided by, from `extra["temperature"]` [rows]."""
    given = part.real.extra.get("temperature")
    if given is None:
        return None
    found = given.new_ones(len(part.padded.tokens))
    found[: len(given)] = given
    return found


def _pad(batch: Batch, rows: int, width: int) -> Batch:
    """Rows and columns of padding; `extra` is the objective's alone and left out."""

    def grow(tensor: Tensor, value: float) -> Tensor:
        grown = tensor.new_full((rows, width), value)
        columns = min(width, tensor.size(1))
        grown[: len(tensor), :columns] = tensor[:, :columns]
        return grown

    if batch.tokens.shape == torch.Size((rows, width)):
        return batch._replace(extra={})
    return Batch(
        grow(batch.tokens, 0),
        grow(batch.labels, 0),
        grow(batch.loss_mask, 0),
        grow(batch.segments, PADDING),
    )
