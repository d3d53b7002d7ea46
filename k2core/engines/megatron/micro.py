"""A rank's rows in micro-batches, of shapes that all ranks of a layout can run in step."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from k2core.engines.megatron.batch import PADDING, Batch
from k2core.engines.megatron.folding import GROUP, Folding, cut_groups, fold_rows
from schemas.placement import Placement

LargestOverRanks = Callable[[Sequence[int]], list[int]]


class MicroBatch(NamedTuple):
    """What the model runs and what the objective sees of it."""

    padded: Batch
    """With rows and columns of padding that a layout asks for."""
    real: Batch
    """The rows as they were dealt; may be none."""
    folding: Folding | None = None
    """Of the real rows, where the model runs it in place of `padded`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that the model runs."""
        rows, width = (self.folding or self.padded).tokens.shape
        return rows, width

    def to(self, device: torch.device) -> "MicroBatch":
        """The same there."""
        padded, real = (batch.map(lambda t: t.to(device)) for batch in self[:2])
        return MicroBatch(padded, real, self.folding and self.folding.to(device))


def cut_passes(
    batch: Batch, placement: Placement, *, folds: bool, largest: LargestOverRanks | None
) -> list[MicroBatch]:
    """Cut a batch into what a layout runs in one pass, folded where it can be and rows have groups.

    Args:
        batch: this rank's rows, with any number of them.
        placement: the layout.
        folds: whether it lets rows be folded.
        largest: as in `cut_micro_batches`.
    """
    if folds and GROUP in batch.extra:
        return fold_micro_batches(batch, placement.micro_batch, largest=largest)
    multiple = placement.tp * (2 * placement.cp if placement.cp > 1 else 1)
    return cut_micro_batches(batch, placement.micro_batch, width_multiple=multiple, largest=largest)


def fold_micro_batches(
    batch: Batch, rows: int, *, largest: LargestOverRanks | None
) -> list[MicroBatch]:
    """Cut a batch whose rows have a group into forward passes of folded rows.

    Args:
        batch: as in `cut_micro_batches`.
        rows: whose tokens a forward pass has at most, once it is folded.
        largest: as in `cut_micro_batches`.
    """
    cuts = cut_groups(batch, rows)
    parts = [batch.select_rows(cut.start, cut.stop).cut_padding() for cut in cuts]
    width = None
    if largest is not None:
        longest = max((fold_rows(part).tokens.size(1) for part in parts), default=1)
        count, width = largest([len(parts), longest])
        parts += [batch.select_rows(0, 0).cut_padding()] * (count - len(parts))
    return [MicroBatch(part._replace(extra={}), part, fold_rows(part, width)) for part in parts]


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
