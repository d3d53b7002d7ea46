"""MLA's core attention, with the largest logit of each head."""

import math
from typing import Any

import torch
from torch import Tensor

from k2core.engines.megatron.batch import PADDING
from megatron.core.transformer.module import MegatronModule

_QUERY_BLOCK = 128
_UNSEEN = -1e4


def segment_mask(segments: Tensor) -> Tensor:
    """Additive mask [B, 1, S, S]: causal, and no token sees another segment.

    Padding attends to padding, lest its rows be empty, but far below zero: softmax does not notice,
    and its logits never count as a head's largest.

    Args:
        segments: [B, S] segment of each token; rotary positions need no reset, being relative.
    """
    same = segments[:, None, :, None] == segments[:, None, None, :]  # B 1 S S, query by key
    rows = torch.where(segments == PADDING, _UNSEEN, 0.0)[:, None, :, None]
    return rows.expand(same.shape).masked_fill(~same.tril_(), -math.inf)


class AttendBlock(torch.autograd.Function):
    """softmax(q k^T + mask) v, and the largest logit of each head, from one product q k^T.

    torch's fused attention on CPU refuses MLA's unequal head widths (keys 48, values 32), falls
    back to this same arithmetic step by step, and does not report logits.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Attend queries [b, h, s, d] to keys [b, h, t, d]; returns [b, h, s, dv] and [h]."""
        batch, heads = query.shape[:2]
        q, k, v = (x.flatten(0, 1) for x in (query, key, value))  # bh s d
        logits = torch.bmm(q * scale, k.mT)
        logits.view(batch, heads, *logits.shape[1:]).add_(mask)
        largest = logits.view(batch, heads, -1).amax(-1).amax(0)
        weights = torch.softmax(logits, -1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.shape = scale, (batch, heads)
        ctx.mark_non_differentiable(largest)
        return torch.bmm(weights, v).view(batch, heads, q.size(1), -1), largest

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, _grad_largest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Softmax's gradient W * (dW - sum(dW * W)), from the saved weights W."""
        q, k, v, weights = ctx.saved_tensors
        grad = grad.flatten(0, 1)
        grad_weights = torch.bmm(grad, v.mT)
        grad_logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        grad_logits.mul_(ctx.scale)
        grads = (
            torch.bmm(grad_logits, k),
            torch.bmm(grad_logits.mT, q),
            torch.bmm(weights.mT, grad),
        )
        dq, dk, dv = (g.view(*ctx.shape, *g.shape[1:]) for g in grads)
        return dq, dk, dv, None, None


class CoreAttention(MegatronModule):
    """Scaled dot product over what MLA hands down, block by block of queries.

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
        """Attend [s, b, heads, d] under an additive causal mask; returns [s, b, heads * d_v]."""
        q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))  # b h s d
        outs, largest = [], []
        for start in range(0, q.size(2), _QUERY_BLOCK):
            end = min(start + _QUERY_BLOCK, q.size(2))  # later keys are masked: skip them
            out, block_largest = AttendBlock.apply(  # type: ignore[no-untyped-call]
                q[:, :, start:end],
                k[:, :, :end],
                v[:, :, :end],
                attention_mask[:, :, start:end, :end],
                self.softmax_scale,
            )
            outs.append(out.permute(2, 0, 1, 3))
            largest.append(block_largest)
        if self.training:
            self._record(torch.stack(largest).amax(0))
        return torch.cat(outs).flatten(2)

    def _record(self, largest: Tensor) -> None:
        """S = max over the batch of the scaled logit q.k (arXiv:2507.20534, equation 1)."""
        seen = self.current_max_attn_logits
        self.current_max_attn_logits = largest if seen is None else torch.maximum(seen, largest)
