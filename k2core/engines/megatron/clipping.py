"""QK-Clip on Megatron's attention layers."""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from k2core.model.names import query_projection
from k2core.optim.qk_clip import ClipEvent, clip_factors, clip_heads, list_events
from schemas.model import ModelShape


class Clipped(NamedTuple):
    """What QK-Clip saw and did."""

    max_logits: list[float]
    events: list[ClipEvent]


def clip_attention(model: Any, shape: ModelShape, tau: float) -> Clipped:
    """Rescale heads whose largest logit in this step, over all ranks, exceeded tau.

    Takes the logits that `CoreAttention` recorded, and leaves it ready for the next step. Momentum
    is not rescaled (arXiv:2507.20534, algorithm 1).
    """
    layers = [layer.self_attention for layer in model.decoder.layers]
    queries = query_projection(shape)
    device = layers[0].linear_kv_up_proj.weight.device
    nothing = torch.full((shape.num_heads,), -torch.inf, device=device)  # a rank without rows
    recorded = [layer.core_attention.current_max_attn_logits for layer in layers]
    logits = torch.stack([nothing if r is None else r for r in recorded])  # l h
    if dist.get_world_size() > 1:
        dist.all_reduce(logits, op=dist.ReduceOp.MAX)
    events: list[ClipEvent] = []
    for index, (layer, seen) in enumerate(zip(layers, logits, strict=True)):
        layer.core_attention.current_max_attn_logits = None
        factors = clip_factors(seen, tau)
        if clipped := list_events(index, seen, factors):
            clip_heads(
                getattr(layer, queries).weight,
                layer.linear_kv_up_proj.weight,
                factors,
                shape.qk_nope_head_dim,
                shape.qk_rope_head_dim,
            )
            events += clipped
    return Clipped(logits.amax(-1).tolist(), events)
