"""QK-Clip: bound attention logits by rescaling the heads that exceed a threshold."""

from typing import NamedTuple

import torch
from torch import Tensor


class ClipEvent(NamedTuple):
    """One head, rescaled: its logit was `max_logit`, and `factor` times that from now on."""

    layer: int
    head: int
    max_logit: float
    factor: float


def clip_factors(max_logits: Tensor, tau: float) -> Tensor:
    """The factor g = min(1, tau / S) of each head (arXiv:2507.20534, algorithm 1, line 12).

    A head whose largest logit is zero or below is left alone (g = 1): a plain tau / S would give
    infinity or a flipped sign there.

    Args:
        max_logits: S [heads], the largest scaled, pre-softmax logit of each head, signed.
        tau: the threshold, above zero.
    """
    return torch.where(max_logits > tau, tau / max_logits.clamp_min(tau), 1.0)


@torch.no_grad()
def clip_heads(
    query_up: Tensor, key_value_up: Tensor, factors: Tensor, qk_nope: int, qk_rope: int
) -> None:
    """Rescale MLA's heads in place, so that each head's logits scale by exactly its g.

    Wq_nope *= sqrt(g), Wk_nope *= sqrt(g), Wq_rope *= g (arXiv:2507.20534, section 2.1). The
    rotary key is shared by all heads and the values carry no logit: both are left alone.

    Args:
        query_up: [heads * (qk_nope + qk_rope), q_lora_rank], head by head, nope before rope.
        key_value_up: [heads * (qk_nope + v), kv_lora_rank], head by head, keys before values.
        factors: g [heads].
        qk_nope: width without position, a head.
        qk_rope: width with rotary position, a head.
    """
    g = factors.to(query_up.dtype)[:, None, None]
    queries = query_up.view(len(factors), qk_nope + qk_rope, -1)  # h d r
    queries[:, :qk_nope].mul_(g.sqrt())
    queries[:, qk_nope:].mul_(g)
    key_value_up.view(len(factors), -1, key_value_up.size(-1))[:, :qk_nope].mul_(g.sqrt())


def list_events(layer: int, max_logits: Tensor, factors: Tensor) -> list[ClipEvent]:
    """The heads of a layer that a step rescaled."""
    heads = torch.nonzero(factors < 1).flatten().tolist()
    return [ClipEvent(layer, h, float(max_logits[h]), float(factors[h])) for h in heads]
