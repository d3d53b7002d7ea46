"""Configs as others have them: the published ones' fields, shrunk, and what transformers adds."""

Config = dict[str, object]

SMALL: Config = {
    "vocab_size": 420,
    "hidden_size": 48,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 3,
    "first_k_dense_replace": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "n_shared_experts": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "routed_scaling_factor": 2.5,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "qk_nope_head_dim": 16,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def yarn(beta_fast: float) -> Config:
    """From 32 to 128 positions."""
    return {
        "type": "yarn",
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "beta_fast": beta_fast,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    }


def rope(major: int, theta: float, scaling: Config | None = None) -> Config:
    """The rotary embedding as this version of transformers spells it."""
    if major == 4:
        return {"rope_theta": theta, "rope_scaling": scaling}
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **(scaling or {})}}


def list_variants(major: int) -> dict[str, dict[str, object]]:
    """Name -> config and how it is saved, for `written.py` under this version of transformers."""

    def variant(changes: Config, **saved: object) -> dict[str, object]:
        return {"config": SMALL | changes, **saved}

    return {
        "moonlight": variant(
            {"q_lora_rank": None, "n_shared_experts": 2, "rms_norm_eps": 1e-5}
            | {"routed_scaling_factor": 2.446, **rope(major, 50_000.0)},
            dtype="bfloat16",
        ),
        "k2": variant(
            {"routed_scaling_factor": 2.827, "aux_loss_alpha": 0.001}
            | rope(major, 50_000.0, yarn(1.0)),
            dtype="bfloat16",
            max_shard_size="100KB",
        ),
        "deepseek": variant(
            {"n_group": 4, "topk_group": 2, "num_experts_per_tok": 4}
            | rope(major, 10_000.0, yarn(32.0)),
            max_shard_size="60KB",
        ),
        "three of a group": variant(
            {"n_group": 2, "topk_group": 1, "num_experts_per_tok": 3} | rope(major, 10_000.0)
        ),
        "tied, all sparse": variant(
            {"tie_word_embeddings": True, "first_k_dense_replace": 0} | rope(major, 1000.0)
        ),
        "all dense": variant({"first_k_dense_replace": 3} | rope(major, 10_000.0)),
    }


MOONLIGHT: Config = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"},
    "attention_bias": False,
    "attention_dropout": 0.0,
    "aux_loss_alpha": 0.001,
    "bos_token_id": 163584,
    "eos_token_id": 163585,
    "ep_size": 1,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 11264,
    "kv_lora_rank": 512,
    "max_position_embeddings": 8192,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 1408,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "norm_topk_prob": True,
    "num_attention_heads": 16,
    "num_experts_per_tok": 6,
    "num_hidden_layers": 27,
    "num_key_value_heads": 16,
    "num_nextn_predict_layers": 0,
    "pretraining_tp": 1,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 50000.0,
    "routed_scaling_factor": 2.446,
    "scoring_func": "sigmoid",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "v_head_dim": 128,
    "vocab_size": 163840,
}
"""Moonlight-16B-A3B's config.json."""

K2: Config = MOONLIGHT | {
    "model_type": "kimi_k2",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "max_position_embeddings": 131072,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 384,
    "n_shared_experts": 1,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "q_lora_rank": 1536,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 1.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "routed_scaling_factor": 2.827,
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    },
}
"""Kimi-K2-Instruct's config.json."""

DEEPSEEK: Config = K2 | {
    "model_type": "deepseek_v3",
    "first_k_dense_replace": 3,
    "max_position_embeddings": 163840,
    "n_group": 8,
    "topk_group": 4,
    "n_routed_experts": 256,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "rope_theta": 10000,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 40,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "routed_scaling_factor": 2.5,
    "vocab_size": 129280,
}
"""DeepSeek-V3's config.json."""
