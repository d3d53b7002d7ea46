from k2core.model.counts import Count, count_parameters, sum_parameters
from k2core.model.scaling import derive_scaling_factor, routed_scaling_factor
from schemas.model import ModelShape

K2 = ModelShape(
    vocab_size=163_840,
    num_layers=61,
    hidden_size=7168,
    num_heads=64,
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    ffn_hidden_size=18_432,
    moe_ffn_hidden_size=2048,
    num_experts=384,
    experts_per_token=8,
)


def test_published_scaling_factors() -> None:
    assert derive_scaling_factor(64, 6) == 2.446
    assert derive_scaling_factor(384, 8) == 2.827
    assert derive_scaling_factor(8, 1) == 1.0


def test_the_shape_may_state_its_factor() -> None:
    assert routed_scaling_factor(ModelShape(routed_scaling_factor=2.5)) == 2.5
    assert routed_scaling_factor(ModelShape(num_experts=64, experts_per_token=6)) == 2.446


def test_kimi_k2_counts_to_its_published_size() -> None:
    total, active = sum_parameters(K2)
    assert round(total / 1e9, 1) == 1026.4
    assert 32 < active / 1e9 < 33  # published: 32.6, which leaves out a part of the embeddings


def test_only_routed_experts_are_partly_active() -> None:
    counts = count_parameters(ModelShape(num_experts=16, experts_per_token=2))
    partly = [name for name, count in counts.items() if count.active < count.total]
    assert partly == ["routed_experts"]
    assert counts["routed_experts"] == Count(3 * 16 * 73_728, 3 * 2 * 73_728)
