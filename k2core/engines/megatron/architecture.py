"""A `ModelShape` as Megatron's configuration."""

import torch
import torch.nn.functional as F  # noqa: N812
from megatron.core.transformer.transformer_config import MLATransformerConfig

from k2core.engines.megatron.layout import stage_layers
from k2core.model.scaling import routed_scaling_factor
from schemas.model import ModelShape
from schemas.placement import Placement


def _describe_experts(shape: ModelShape) -> dict[str, object]:
    num_sparse = shape.num_layers - shape.num_dense_layers
    if num_sparse == 0:
        return {}
    groups: dict[str, object] = {}
    if shape.num_expert_groups > 1:
        groups["moe_router_num_groups"] = shape.num_expert_groups
        groups["moe_router_group_topk"] = shape.groups_per_token
    return groups | {
        "num_moe_experts": shape.num_experts,
        "moe_layer_freq": [0] * shape.num_dense_layers + [1] * num_sparse,
        "moe_ffn_hidden_size": shape.moe_ffn_hidden_size,
        "moe_shared_expert_intermediate_size": (
            shape.num_shared_experts * shape.moe_ffn_hidden_size
        ),
        "moe_router_topk": shape.experts_per_token,
        "moe_router_score_function": "sigmoid",
        "moe_router_enable_expert_bias": True,
        "moe_router_bias_update_rate": shape.bias_update_rate,
        "moe_router_topk_scaling_factor": routed_scaling_factor(shape),
        "moe_router_load_balancing_type": "seq_aux_loss",
        "moe_aux_loss_coeff": shape.seq_aux_loss,
        "moe_router_dtype": "fp32",
        "moe_permute_fusion": False,
    }


def _describe_layout(shape: ModelShape, placement: Placement) -> dict[str, object]:
    found: dict[str, object] = {
        "tensor_model_parallel_size": placement.tp,
        "sequence_parallel": placement.tp > 1,
        "context_parallel_size": placement.cp,
        "pipeline_model_parallel_size": placement.pp,
        "expert_model_parallel_size": placement.ep,
        "expert_tensor_parallel_size": 1,
        "moe_token_dispatcher_type": "alltoall" if placement.ep > 1 else "allgather",
        "calculate_per_token_loss": True,  # losses are shares of the global batch already
    }
    if placement.recompute == "selective":  # the feed-forward blocks' part is in `lean.py`
        found |= {
            "recompute_granularity": "selective",
            "recompute_modules": ["layernorm", "mla_up_proj"],
        }
    elif placement.recompute == "full":
        found |= {
            "recompute_granularity": "full",
            "recompute_method": "uniform",
            "recompute_num_layers": 1,
        }
    if placement.pp > 1:
        found["pipeline_model_parallel_layout"] = stage_layers(shape.num_layers, placement)
    return found


def megatron_config(
    shape: ModelShape, placement: Placement, dtype: torch.dtype = torch.float32
) -> MLATransformerConfig:
    """K2's architecture (arXiv:2507.20534, section 2.3) in a layout over ranks."""
    yarn = shape.yarn_factor > 1
    return MLATransformerConfig(
        num_layers=shape.num_layers,
        hidden_size=shape.hidden_size,
        num_attention_heads=shape.num_heads,
        kv_channels=shape.v_head_dim,
        ffn_hidden_size=shape.ffn_hidden_size,
        multi_latent_attention=True,
        q_lora_rank=shape.q_lora_rank,
        kv_lora_rank=shape.kv_lora_rank,
        qk_head_dim=shape.qk_nope_head_dim,
        qk_pos_emb_head_dim=shape.qk_rope_head_dim,
        v_head_dim=shape.v_head_dim,
        qk_layernorm=True,  # of the compressed latents; K2 has no norm on queries and keys
        rope_type="yarn" if yarn else "rope",
        rotary_base=shape.rope_theta,
        rotary_scaling_factor=shape.yarn_factor,
        original_max_position_embeddings=shape.original_max_position_embeddings,
        mscale=shape.yarn_mscale,
        mscale_all_dim=shape.yarn_mscale,
        beta_fast=shape.yarn_beta_fast,
        beta_slow=shape.yarn_beta_slow,
        normalization="RMSNorm",
        layernorm_epsilon=shape.rms_norm_eps,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        init_method_std=shape.init_std,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        use_cpu_initialization=not torch.cuda.is_available(),
        # Fused kernels are CUDA's; the CPU shim's list of what Megatron then needs.
        apply_rope_fusion=False,
        masked_softmax_fusion=False,
        bias_dropout_fusion=False,
        bias_activation_fusion=False,
        gradient_accumulation_fusion=False,
        persist_layer_norm=False,
        batch_p2p_comm=False,
        cuda_graph_scope=[],
        **_describe_experts(shape),
        **_describe_layout(shape, placement),
    )
