"""What goes into a training step and what comes out."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from k2core.optim.qk_clip import ClipEvent

PADDING = -1
"""Segment of padding tokens: not routed to experts' statistics, and cut off where it ends rows."""


class Totals(NamedTuple):
    """Sums over the global batch, over all micro-batches and ranks; the trainer fills them in."""

    tokens: float = 0.0
    """Sum of `loss_mask`."""
    rows: int = 0
    """Sequences."""


class Batch(NamedTuple):
    """Rows to train on. B rows, S tokens."""

    tokens: Tensor
    """[B, S] int64."""
    labels: Tensor
    """[B, S] int64, the token that should follow; any valid id where `loss_mask` is 0."""
    loss_mask: Tensor
    """[B, S] float, the weight of each label."""
    segments: Tensor
    """[B, S] int; attention never crosses a segment; -1 is padding, at the end of a row."""
    extra: Mapping[str, Tensor] = {}
    """What an objective needs besides, by row [B] or by token [B, S]."""
    totals: Totals = Totals()
    """Of the global batch; set when an objective sees a micro-batch."""
    masks: Tensor | None = None
    """[M, V/8] uint8, a bit a token, lowest first: which labels were possible. `extra["mask"]`
    [B, S] names the row that holds for a label; log p is then of the tokens in it alone."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same change to every tensor with a row a row: to all but `masks`."""
        extra = {name: change(tensor) for name, tensor in self.extra.items()}
        tokens, labels, loss_mask, segments = (change(tensor) for tensor in self[:4])
        return Batch(tokens, labels, loss_mask, segments, extra, self.totals, self.masks)

    def select_rows(self, start: int, stop: int) -> "Batch":
        """Rows from start to stop (views)."""
        return self.map(lambda tensor: tensor[start:stop])

    def cut_padding(self) -> "Batch":
        """Without the last columns where every row is padding."""
        width = self.segments.size(1)
        used = torch.nonzero((self.segments != PADDING).any(0))
        keep = int(used[-1]) + 1 if len(used) else 1
        if keep == width:
            return self
        return self.map(lambda t: t[:, :keep] if t.dim() > 1 and t.size(1) == width else t)


class ObjectiveValue(NamedTuple):
    """A micro-batch's share of the objective: shares add up over micro-batches and ranks."""

    loss: Tensor
    """What is backpropagated."""
    metrics: Mapping[str, float] = {}
    """Figures of interest, shares too."""


Objective = Callable[[Tensor, Batch], ObjectiveValue]
"""From log p of the labels [B, S] (0 where `loss_mask` is 0) and their micro-batch to a loss share.

Divide by `batch.totals`, never by a micro-batch's own counts. A row is always whole. To travel to
ranks it must be picklable: a module-level function, or `functools.partial` of one.
"""


def language_model_loss(logprobs: Tensor, batch: Batch) -> ObjectiveValue:
    """Mean negative log-likelihood over the masked tokens of the global batch."""
    total = (logprobs * batch.loss_mask).sum()
    return ObjectiveValue(-total / max(batch.totals.tokens, 1.0))


class StepStats(NamedTuple):
    """What an optimizer step did; equal on all ranks."""

    loss: float
    grad_norm: float
    """Before clipping."""
    max_logits: list[float]
    """Largest attention logit of each layer, before the step."""
    clips: list[ClipEvent]
    """Heads that QK-Clip rescaled."""
    tokens: int
    """Tokens of the global batch, padding left out."""
    metrics: dict[str, float]
    """The objective's own figures."""
    groups: Mapping[str, float] = {}
    """`grad_norm/GROUP` before clipping, and `update_rms/GROUP` a unit of learning rate."""
    taken: bool = True
    """False: the step was refused and the weights stayed as they were."""


class NonFiniteError(FloatingPointError):
    """A loss or gradient that is NaN or infinite; the weights were not touched."""
