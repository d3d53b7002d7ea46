"""MLA's core attention over packed rows, with the largest logit of each head."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from k2core.engines.megatron.batch import PADDING
from k2core.engines.megatron.context import Chunk, gather_rows, own_chunks
from megatron.core.transformer.module import MegatronModule

_QUERY_BLOCK = 128


class Block(NamedTuple):
    """Queries `start` to `stop` of a row; they see the keys from `first_key` to their own.

    `place` is where this rank holds the first: `start`, unless ranks share sequences.
    """

    row: int
    first_key: int
    start: int
    stop: int
    place: int

    @property
    def own(self) -> slice:
        """The queries among this rank's."""
        return slice(self.place, self.place + self.stop - self.start)


def blocks_of(segments: Tensor, chunks: Sequence[Chunk]) -> list[Block]:
    """Each segment in blocks of queries; padding is in none.

    Args:
        segments: [B, S] segment of each token, in runs; rotary positions need no reset, being
            relative.
        chunks: of a row, that this rank's queries are.
    """
    changes = torch.ones_like(segments, dtype=torch.bool)
    changes[:, 1:] = segments[:, 1:] != segments[:, :-1]
    firsts: list[list[int]] = changes.nonzero().tolist()
    blocks = []
    for (row, first), (next_row, next_first) in zip(firsts, [*firsts[1:], [-1, 0]], strict=True):
        end = next_first if next_row == row else segments.size(1)
        if segments[row, first] != PADDING:
            for chunk in chunks:
                stop = min(end, chunk.stop)
                blocks += [
                    Block(row, first, s, min(s + _QUERY_BLOCK, stop), chunk.place + s - chunk.start)
                    for s in range(max(first, chunk.start), stop, _QUERY_BLOCK)
                ]
    return blocks


class PackedAttention(torch.autograd.Function):
    """softmax(q k^T) v, causal within blocks, and the largest logit of each head.

    torch's fused attention on CPU refuses MLA's unequal head widths (keys 48, values 32), falls
    back to this same arithmetic with a mask over whole rows, and does not report logits.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: Sequence[Block], scale: float
    ) -> tuple[Tensor, Tensor]:
        """Attend queries [q, b, h, d] to keys [s, b, h, d] with values [s, b, h, dv].

        Returns:
            [q, b, h, dv], 0 outside of the blocks; and [h], -inf without any block.
        """
        out = value.new_zeros(query.shape[:3] + value.shape[3:])
        largest = query.new_full(query.shape[2:3], -math.inf)
        kept = []
        for block in blocks:
            row, first, start, stop, _ = block
            q, k, v = query[block.own, row], key[first:stop, row], value[first:stop, row]
            logits = torch.bmm(q.transpose(0, 1) * scale, k.permute(1, 2, 0))  # h q k
            logits[..., start - first :].masked_fill_(_later(stop - start, q.device), -math.inf)
            largest = torch.maximum(largest, logits.amax((1, 2)))
            weights = torch.softmax(logits, -1)
            out[block.own, row] = torch.bmm(weights, v.transpose(0, 1)).transpose(0, 1)
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.blocks, ctx.scale = blocks, scale
        ctx.mark_non_differentiable(largest)
        return out, largest

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, _grad_largest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Softmax's gradient W * (dW - sum(dW * W)), from the saved weights W."""
        query, key, value, *kept = ctx.saved_tensors
        dq, dk, dv = (
            torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (query, key, value)
        )
        for block, weights in zip(ctx.blocks, kept, strict=True):
            row, first, _, stop, _ = block
            g = grad[block.own, row].transpose(0, 1)  # h q dv
            q, k = query[block.own, row].transpose(0, 1), key[first:stop, row].transpose(0, 1)
            grad_weights = torch.bmm(g, value[first:stop, row].permute(1, 2, 0))
            grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_logits.mul_(ctx.scale)
            dq[block.own, row] = torch.bmm(grad_logits, k).transpose(0, 1)
            dk[first:stop, row] += torch.bmm(grad_logits.mT, q).transpose(0, 1)
            dv[first:stop, row] += torch.bmm(weights.mT, g).transpose(0, 1)
        return dq, dk, dv, None, None


class CoreAttention(MegatronModule):
    """Scaled dot product over what MLA hands down, segment by segment.

    Megatron's local DotProductAttention refuses MLA (`k_channels`), and only Transformer Engine's
    reports logits. `current_max_attn_logits` [heads] grows over micro-batches until it is taken.
    """

    def __init__(
        self, config: Any, layer_number: int, *_args: Any, softmax_scale: float, **_kwargs: Any
    ) -> None:
        super().__init__(config=config)
        self.layer_number = layer_number
        self.softmax_scale = softmax_scale
        self.current_max_attn_logits: Tensor | None = None

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_kwargs: Any
    ) -> Tensor:
        """Attend [s, b, heads, d] causally within segments; returns [s, b, heads * d_v].

        In the place of a mask Megatron hands through what the trainer gave: segments [b, s] of
        whole rows. Where ranks share sequences, queries stay and keys and values are gathered.
        """
        key, value = gather_rows(key, 0, summed=True), gather_rows(value, 0, summed=True)
        blocks = blocks_of(attention_mask, own_chunks(attention_mask.size(1)))
        out, largest = PackedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, blocks, self.softmax_scale
        )
        if self.training:
            self._record(largest)
        return torch.flatten(out, 2)

    def _record(self, largest: Tensor) -> None:
        """S = max over the batch of the scaled logit q.k (arXiv:2507.20534, equation 1)."""
        seen = self.current_max_attn_logits
        self.current_max_attn_logits = largest if seen is None else torch.maximum(seen, largest)


def _later(width: int, device: torch.device) -> Tensor:
    """[width, width], true where the key comes after the query."""
    return torch.ones(width, width, dtype=torch.bool, device=device).triu_(1)
