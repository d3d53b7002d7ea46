"""Parameter counts, total and activated, by component."""

from typing import NamedTuple

from schemas.model import ModelShape


class Count(NamedTuple):
    """Parameters that exist, and those that one token passes through."""

    total: int
    active: int


def count_parameters(shape: ModelShape) -> dict[str, Count]:
    """Count every trainable parameter (router biases are buffers and do not count).

    An embedding lookup activates one row, yet reports count it whole, as the K2 report does.
    """
    s = shape
    sparse = s.num_layers - s.num_dense_layers
    q_head, kv_head = s.qk_nope_head_dim + s.qk_rope_head_dim, s.qk_nope_head_dim + s.v_head_dim
    attention = (
        s.hidden_size * (s.q_lora_rank + s.kv_lora_rank + s.qk_rope_head_dim)
        + s.num_heads * (s.q_lora_rank * q_head + s.kv_lora_rank * kv_head)
        + s.num_heads * s.v_head_dim * s.hidden_size
    )
    norms = 2 * s.hidden_size + s.q_lora_rank + s.kv_lora_rank
    expert = 3 * s.hidden_size * s.moe_ffn_hidden_size

    def always(size: int) -> Count:
        return Count(size, size)

    return {
        "embedding": always(s.vocab_size * s.hidden_size),
        "attention": always(s.num_layers * attention),
        "norms": always(s.num_layers * norms + s.hidden_size),
        "dense_ffn": always(s.num_dense_layers * 3 * s.hidden_size * s.ffn_hidden_size),
        "router": always(sparse * s.num_experts * s.hidden_size),
        "shared_experts": always(sparse * s.num_shared_experts * expert),
        "routed_experts": Count(
            sparse * s.num_experts * expert, sparse * s.experts_per_token * expert
        ),
        "output": always(s.vocab_size * s.hidden_size),
    }


def sum_parameters(shape: ModelShape) -> Count:
    """The shape's size in one line: total and activated parameters."""
    counts = count_parameters(shape).values()
    return Count(sum(c.total for c in counts), sum(c.active for c in counts))
