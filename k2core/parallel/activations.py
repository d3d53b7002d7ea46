"""What a layer keeps of each token from the forward pass for the backward pass."""

from typing import NamedTuple

from k2core.parallel.layout import Layout
from schemas.model import ModelShape

_FP8_BYTES = 1 + 4 / 128
"""E4M3 with one fp32 scale for 128 values (arXiv:2507.20534, section 2.4.3)."""


class Saved(NamedTuple):
    """One kept tensor, a token."""

    name: str
    elements: int
    recomputed: bool = False
    """K2's selective recomputation brings it back instead of keeping it."""
    quantized: bool = False
    """K2 stores it in FP8."""


def saved_by_attention(shape: ModelShape) -> list[Saved]:
    """Of multi-head latent attention with a fused softmax, and the norm before it."""
    s = shape
    qk = s.num_heads * (s.qk_nope_head_dim + s.qk_rope_head_dim)
    v = s.num_heads * s.v_head_dim
    q_rank = s.q_lora_rank or 0
    return [
        Saved("layer input", s.hidden_size),
        Saved("normed input", s.hidden_size, recomputed=True),
        Saved("latents", q_rank + s.kv_lora_rank + s.qk_rope_head_dim),
        Saved("normed latents", q_rank + s.kv_lora_rank, recomputed=True),
        Saved("queries", qk, recomputed=True),
        Saved("keys", qk, recomputed=True),
        Saved("values", v, recomputed=True),
        Saved("attention output", v),
        Saved("softmax statistics", 2 * s.num_heads),
    ]


def saved_by_feed_forward(shape: ModelShape, sparse: bool) -> list[Saved]:
    """Of the dense block, or of router, shared and routed experts under even routing."""
    s = shape
    before = [
        Saved("block input", s.hidden_size),
        Saved("normed block input", s.hidden_size, recomputed=True),
    ]
    if not sparse:
        inner = s.ffn_hidden_size
        return [*before, Saved("gate and up", 2 * inner), Saved("SwiGLU", inner, recomputed=True)]
    shared = s.num_shared_experts * s.moe_ffn_hidden_size
    routed = s.experts_per_token * s.moe_ffn_hidden_size
    dispatched = s.experts_per_token * s.hidden_size
    return [
        *before,
        Saved("router scores", 2 * s.num_experts),
        Saved("shared gate and up", 2 * shared, quantized=True),
        Saved("shared SwiGLU", shared, recomputed=True),
        Saved("dispatched tokens", dispatched, quantized=True),
        Saved("routed gate and up", 2 * routed, quantized=True),
        Saved("routed SwiGLU", routed, recomputed=True),
        Saved("expert outputs", dispatched, recomputed=True),
    ]


def kept_bytes(saved: list[Saved], layout: Layout, width: int) -> float:
    """Bytes a token; `width` is what an element takes, 2 in bf16."""
    total = 0.0
    for tensor in saved:
        if tensor.recomputed and layout.recompute == "selective":
            continue
        small = tensor.quantized and layout.fp8_storage
        total += tensor.elements * (_FP8_BYTES if small else width)
    return total


def layer_bytes(shape: ModelShape, layout: Layout, sparse: bool, width: int) -> float:
    """Bytes that one token of one layer occupies from its forward to its backward pass."""
    if layout.recompute == "full":
        return shape.hidden_size * width / layout.tp
    saved = [*saved_by_attention(shape), *saved_by_feed_forward(shape, sparse)]
    return kept_bytes(saved, layout, width) / layout.tp
