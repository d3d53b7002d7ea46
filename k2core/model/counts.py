"""Parameter counts, total and activated, by component."""

from typing import NamedTuple

from schemas.model import ModelShape


class Count(NamedTuple):
    """Parameters that exist, and those that one token passes through."""

    total: int
    active: int


class AttentionCount(NamedTuple):
    """One layer's MLA matrices: those that split by head, and the shared down-projections."""

    by_head: int
    down: int


def count_attention(shape: ModelShape) -> AttentionCount:
    """Up-projections and the output are a matrix a head; the down-projections are shared."""
    s = shape
    q_head, kv_head = s.qk_nope_head_dim + s.qk_rope_head_dim, s.qk_nope_head_dim + s.v_head_dim
    q_rank = s.hidden_size if s.q_lora_rank is None else s.q_lora_rank
    up = s.num_heads * (q_rank * q_head + s.kv_lora_rank * kv_head)
    output = s.num_heads * s.v_head_dim * s.hidden_size
    down = s.hidden_size * ((s.q_lora_rank or 0) + s.kv_lora_rank + s.qk_rope_head_dim)
    return AttentionCount(up + output, down)


def count_expert(shape: ModelShape) -> int:
    """Gate, up and down of one expert."""
    return 3 * shape.hidden_size * shape.moe_ffn_hidden_size


def count_norms(shape: ModelShape) -> int:
    """One layer's gains: before attention and feed-forward, and of the two latents."""
    return 2 * shape.hidden_size + (shape.q_lora_rank or 0) + shape.kv_lora_rank


def count_parameters(shape: ModelShape) -> dict[str, Count]:
    """Count every trainable parameter (router biases are buffers and do not count).

    An embedding lookup activates one row, yet reports count it whole, as the K2 report does.
    """
    s = shape
    sparse = s.num_layers - s.num_dense_layers
    expert = count_expert(s)

    def always(size: int) -> Count:
        return Count(size, size)

    return {
        "embedding": always(s.vocab_size * s.hidden_size),
        "attention": always(s.num_layers * sum(count_attention(s))),
        "norms": always(s.num_layers * count_norms(s) + s.hidden_size),
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
