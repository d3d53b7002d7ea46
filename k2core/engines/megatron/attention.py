"""MLA's core attention, with the largest logit of each head."""

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from megatron.core.transformer.module import MegatronModule
from torch import Tensor


def segment_mask(segments: Tensor) -> Tensor:
    """Additive mask [B, 1, S, S]: causal, and no token sees another segment.

    Args:
        segments: [B, S] segment of each token; rotary positions need no reset, being relative.
    """
    same = segments[:, None, :, None] == segments[:, None, None, :]  # B 1 S S, query by key
    zeros = torch.zeros(same.shape, device=segments.device)
    return zeros.masked_fill_(~same.tril_(), -math.inf)


class CoreAttention(MegatronModule):  # type: ignore[misc]
    """Scaled dot product over what MLA hands down.

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
        """Attend [s, b, heads, d] under an additive mask; returns [s, b, heads * d_v]."""
        q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))  # b h s d
        if self.training:
            self._record(q.detach(), k.detach(), attention_mask)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=attention_mask, scale=self.softmax_scale
        )
        return out.permute(2, 0, 1, 3).flatten(2)

    def _record(self, q: Tensor, k: Tensor, mask: Tensor) -> None:
        """S = max over the batch of the scaled logit q.k (arXiv:2507.20534, equation 1)."""
        logits = (q @ k.mT).mul_(self.softmax_scale).add_(mask)
        largest = logits.flatten(2).amax(-1).amax(0).float()  # h
        seen = self.current_max_attn_logits
        self.current_max_attn_logits = largest if seen is None else torch.maximum(seen, largest)
