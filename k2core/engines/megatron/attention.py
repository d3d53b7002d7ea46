"""MLA's core attention over packed rows, with the largest logit of each head."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from megatron.core.transformer.module import MegatronModule
from torch import Tensor

from k2core.engines.megatron.batch import PADDING
from k2core.engines.megatron.context import Chunk, gather_whole, own_chunks, sum_own
from k2core.engines.megatron.seams import Context

if TYPE_CHECKING:
    from megatron.core.transformer.transformer_config import TransformerConfig

_QUERY_BLOCK = 128


class Attended(NamedTuple):
    """What the core attention makes of queries, keys and values."""

    out: Tensor
    """[q, b, h, dv], 0 in padding."""
    largest: Tensor
    """[h], each head's largest scaled logit; -inf where all is padding."""


class Run(NamedTuple):
    """Tokens `first` to `end` of a row that make up a segment."""

    row: int
    first: int
    end: int


def runs_of(segments: Tensor) -> list[Run]:
    """The segments of rows, in order; padding is in none.

    Args:
        segments: [B, S] segment of each token, in runs.
    """
    width = segments.size(1)
    changes = torch.ones_like(segments, dtype=torch.bool)
    changes[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = changes.flatten().nonzero().flatten()
    ends = torch.cat([starts[1:], starts.new_tensor([changes.numel()])])
    row = starts // width
    found = torch.stack([row, starts - row * width, ends - row * width], 1)
    used = segments.flatten()[starts] != PADDING
    return [Run(*run) for run in found[used].tolist()]


class Block(NamedTuple):
    """Queries `start` to `stop` of a row; they see the keys from `first_key` to their own.

    `place` is where this rank holds the first: `start`, unless ranks share sequences.
    """

    row: int
    first_key: int
    start: int
    stop: int
    place: int


def blocks_of(segments: Tensor, chunks: Sequence[Chunk]) -> list[Block]:
    """Each segment in blocks of queries; padding is in none.

    Args:
        segments: [B, S] segment of each token, in runs; rotary positions need no reset, being
            relative.
        chunks: of a row, that this rank's queries are.
    """
    blocks = []
    for row, first, end in runs_of(segments):
        for chunk in chunks:
            stop = min(end, chunk.stop)
            blocks += [
                Block(row, first, s, min(s + _QUERY_BLOCK, stop), chunk.place + s - chunk.start)
                for s in range(max(first, chunk.start), stop, _QUERY_BLOCK)
            ]
    return blocks


class _Blocks(Context, Protocol):
    blocks: Sequence[Block]
    scale: float


class PackedAttention(torch.autograd.Function):
    """softmax(q k^T) v, causal within blocks, and the largest logit of each head.

    torch's fused attention on CPU refuses MLA's unequal head widths (keys 48, values 32), falls
    back to this same arithmetic with a mask over whole rows, and does not report logits.

    Context-parallel ranks hold parts of each row: keys and values are gathered in either pass, so
    that between the two only a rank's own are kept, or are left to selective recomputation.
    """

    @staticmethod
    def forward(
        ctx: _Blocks,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocks: Sequence[Block],
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        """Attend queries [q, b, h, d] to keys [q, b, h, d] with values [q, b, h, dv].

        Returns:
            [q, b, h, dv], 0 outside of the blocks; and [h], -inf without any block.
        """
        out = value.new_zeros(query.shape[:3] + value.shape[3:])
        largest = query.new_full(query.shape[2:3], -math.inf)
        queries, outs = _by_row(query), _by_row(out)
        keys, values = (_by_row(gather_whole(x, 0)) for x in (key, value))
        kept, later = [], _LaterKeys(query.device)
        for row, first, start, stop, place in blocks:
            size, seen = stop - start, stop - first
            q = queries[row].narrow(1, place, size)  # h q d
            k, v = (x[row].narrow(1, first, seen) for x in (keys, values))
            logits = torch.bmm(q * scale, k.mT)  # h q k
            logits.narrow(2, seen - size, size).masked_fill_(later.mask(size), -math.inf)
            largest = torch.maximum(largest, logits.amax((1, 2)))
            weights = torch.softmax(logits, -1)
            outs[row].narrow(1, place, size).copy_(torch.bmm(weights, v))
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.blocks, ctx.scale = blocks, scale
        ctx.mark_non_differentiable(largest)
        return out, largest

    @staticmethod
    def backward(
        ctx: _Blocks, grad: Tensor, _grad_largest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Softmax's gradient W * (dW - sum(dW * W)), from the saved weights W."""
        query, key, value, *kept = ctx.saved_tensors
        key, value = gather_whole(key, 0), gather_whole(value, 0)
        # b h s d, each row's products added where they belong
        dq, dk, dv = (x.new_zeros(*x.shape[1:3], len(x), x.size(3)) for x in (query, key, value))
        grads, queries, keys, values = (_by_row(x) for x in (grad, query, key, value))
        for (row, first, start, stop, place), weights in zip(ctx.blocks, kept, strict=True):
            size, seen = stop - start, stop - first
            g, q, own_q = (x[row].narrow(1, place, size) for x in (grads, queries, dq))  # h q d
            k, v, own_k, own_v = (x[row].narrow(1, first, seen) for x in (keys, values, dk, dv))
            grad_weights = torch.bmm(g, v.mT)
            grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            own_q.baddbmm_(grad_logits, k, alpha=ctx.scale)
            own_k.baddbmm_(grad_logits.mT, q, alpha=ctx.scale)
            own_v.baddbmm_(weights.mT, g)
        dk, dv = sum_own(dk, 2), sum_own(dv, 2)
        dq, dk, dv = (x.permute(2, 0, 1, 3) for x in (dq, dk, dv))
        return dq, dk, dv, None, None


class CoreAttention(MegatronModule):
    """Scaled dot product over what MLA hands down, segment by segment.

    Megatron's local DotProductAttention refuses MLA (`k_channels`), and only Transformer Engine's
    reports logits. `current_max_attn_logits` [heads] grows over micro-batches until it is taken.
    """

    def __init__(
        self,
        config: "TransformerConfig",
        layer_number: int,
        *_args: object,
        softmax_scale: float,
        **_kwargs: object,
    ) -> None:
        super().__init__(config=config)
        self.layer_number = layer_number
        self.softmax_scale = softmax_scale
        self.current_max_attn_logits: Tensor | None = None

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_kwargs: object
    ) -> Tensor:
        """Attend [s, b, heads, d] causally within segments; returns [s, b, heads * d_v].

        In the place of a mask Megatron hands through what the trainer gave: segments [b, s] of
        whole rows. Where ranks share sequences, queries stay and keys and values are gathered.
        """
        out, largest = self.attend(query, key, value, attention_mask)
        if self.training:
            self._record(largest)
        return torch.flatten(out, 2)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Tensor) -> Attended:
        """Attend this rank's queries [q, b, h, d] to all ranks' keys and values [q, b, h, d]."""
        blocks = blocks_of(segments, own_chunks(segments.size(1)))
        out, largest = PackedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, blocks, self.softmax_scale
        )
        return Attended(out, largest)

    def _record(self, largest: Tensor) -> None:
        """S = max over the batch of the scaled logit q.k (arXiv:2507.20534, equation 1)."""
        seen = self.current_max_attn_logits
        self.current_max_attn_logits = largest if seen is None else torch.maximum(seen, largest)


def _by_row(x: Tensor) -> tuple[Tensor, ...]:
    """Views [h, s, d] of each row of [s, b, h, d]."""
    return x.permute(1, 2, 0, 3).unbind()


class _LaterKeys:
    """Masks [width, width], true where the key comes after the query; one a width."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._masks = device, dict[int, Tensor]()

    def mask(self, width: int) -> Tensor:
        """Of that width."""
        if width not in self._masks:
            ones = torch.ones(width, width, dtype=torch.bool, device=self._device)
            self._masks[width] = ones.triu_(1)
        return self._masks[width]
