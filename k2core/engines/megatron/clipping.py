"""QK-Clip on Megatron's attention layers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from k2core.model.names import query_projection
from k2core.optim.qk_clip import (
    ClipEvent,
    clip_factors,
    list_events,
    row_scales,
    share_factors,
)
from k2core.optim.rule import HeadClip
from schemas.model import ModelShape


class Clips(NamedTuple):
    """What the step's logits ask for."""

    max_logits: list[float]
    """Of each layer."""
    events: list[ClipEvent]
    """Of all layers, equal on all ranks."""
    row_scales: dict[str, Tensor]
    """Factor of each row of this rank's up-projections, by global name."""


class _Heads(NamedTuple):
    """A layer's heads on this rank: of the model's `layer`, from head `first` to `stop`."""

    layer: int
    first: int
    stop: int
    core: Any


def _local_heads(model: Any, shape: ModelShape) -> Iterator[_Heads]:
    size = parallel_state.get_tensor_model_parallel_world_size()
    count = shape.num_heads // size
    first = count * parallel_state.get_tensor_model_parallel_rank()
    for layer in model.decoder.layers:
        core = layer.self_attention.core_attention
        yield _Heads(layer.layer_number - 1, first, first + count, core)


def plan_clips(model: Any, shape: ModelShape, clip: HeadClip | None) -> Clips:
    """Factors for heads whose largest logit in this step, over the global batch, exceeded tau.

    Takes the logits that `CoreAttention` recorded over micro-batches, and leaves it ready for the
    next step. One maximum over all ranks reduces over data- and context-parallel copies and tells
    every rank of the other stages' and tensor-parallel ranks' heads. Momentum is not rescaled
    (arXiv:2507.20534, algorithm 1).
    """
    heads = list(_local_heads(model, shape))
    device = next(model.parameters()).device
    logits = torch.full((shape.num_layers, shape.num_heads), -torch.inf, device=device)  # l h
    for layer, first, stop, core in heads:
        seen = core.current_max_attn_logits  # None on a rank without rows
        if seen is not None:
            logits[layer, first:stop] = seen.float()
        core.current_max_attn_logits = None
    if dist.get_world_size() > 1:
        dist.all_reduce(logits, op=dist.ReduceOp.MAX)
    factors = torch.ones_like(logits) if clip is None else clip_factors(logits, clip.tau)
    if clip is not None and not clip.per_head:
        factors = share_factors(factors)
    events = [e for i in range(shape.num_layers) for e in list_events(i, logits[i], factors[i])]
    clipped, scales = {event.layer for event in events}, dict[str, Tensor]()
    widths = shape.qk_nope_head_dim, shape.qk_rope_head_dim, shape.v_head_dim
    for layer, first, stop, _ in heads:
        if layer in clipped:
            rows = row_scales(factors[layer, first:stop], *widths)
            prefix = f"decoder.layers.{layer}.self_attention"
            scales[f"{prefix}.{query_projection(shape)}.weight"] = rows.query_up
            scales[f"{prefix}.linear_kv_up_proj.weight"] = rows.key_value_up
    return Clips(logits.amax(-1).tolist(), events, scales)
