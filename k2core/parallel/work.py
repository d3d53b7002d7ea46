"""Floating-point operations: of a token through each layer, and of an optimizer step."""

from k2core.model.counts import count_attention, count_expert
from k2core.optim.rule import UpdateRule
from k2core.parallel.layout import Layout
from k2core.parallel.memory import held_by_stages
from schemas.model import ModelShape


def layer_flops(shape: ModelShape, sparse: bool, sequence_length: int) -> float:
    """Forward FLOPs of a token in one layer: two a weight, and attention over half the row."""
    s = shape
    if sparse:
        ffn = (s.experts_per_token + s.num_shared_experts) * count_expert(s)
        ffn += s.num_experts * s.hidden_size
    else:
        ffn = 3 * s.hidden_size * s.ffn_hidden_size
    widths = s.qk_nope_head_dim + s.qk_rope_head_dim + s.v_head_dim
    scores = sequence_length * s.num_heads * widths  # 2 FLOPs x S/2 keys
    return 2 * (sum(count_attention(s)) + ffn) + scores


def recomputed_flops(
    shape: ModelShape, layout: Layout, sparse: bool, sequence_length: int
) -> float:
    """FLOPs of a token in one layer that the backward pass repeats."""
    s = shape
    if layout.recompute == "none":
        return 0.0
    if layout.recompute == "full":
        return layer_flops(s, sparse, sequence_length)
    q_head, kv_head = s.qk_nope_head_dim + s.qk_rope_head_dim, s.qk_nope_head_dim + s.v_head_dim
    up = s.num_heads * ((s.q_lora_rank or s.hidden_size) * q_head + s.kv_lora_rank * kv_head)
    down = s.experts_per_token * s.hidden_size * s.moe_ffn_hidden_size if sparse else 0
    return 2.0 * (up + down)


def output_flops(shape: ModelShape) -> float:
    """Forward FLOPs of a token in the output layer."""
    return 2.0 * shape.vocab_size * shape.hidden_size


def training_flops(shape: ModelShape, sequence_length: int) -> float:
    """FLOPs of a token, forward and backward, nothing repeated: what utilisation counts."""
    sparse = shape.num_layers - shape.num_dense_layers
    forward = shape.num_dense_layers * layer_flops(shape, False, sequence_length)
    forward += sparse * layer_flops(shape, True, sequence_length) + output_flops(shape)
    return 3 * forward


def matrix_update_flops(shape: ModelShape, layout: Layout, optimizer: UpdateRule) -> float:
    """Products that the optimizer makes of whole matrices on the heaviest stage, a rank's share.

    Experts dominate: gate, up and down of each; the other matrices count in proportion.
    """
    s = shape
    expert = 2.0 * optimizer.multiplications(s.moe_ffn_hidden_size, s.hidden_size)
    per_parameter = expert / (s.moe_ffn_hidden_size * s.hidden_size)
    held = held_by_stages(s, layout)
    shares = [h.dense / layout.dense_dp + h.experts / layout.expert_dp for h in held]
    return max(shares) * per_parameter
