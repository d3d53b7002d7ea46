"""The shape of the tests' models: as small as can be, yet with every part."""

from schemas.model import ModelShape


def tiny_shape(**changes: float | None) -> ModelShape:
    """A dense and a sparse layer, two heads, low-rank queries, four experts and a shared one."""
    sizes: dict[str, float | None] = {
        "num_layers": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "ffn_hidden_size": 64,
        "moe_ffn_hidden_size": 32,
        "num_experts": 4,
    }
    return ModelShape.model_validate(sizes | changes)
