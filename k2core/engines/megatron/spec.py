"""The layer spec: which module plays which part. CPU and GPU differ here and nowhere else."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_block_spec
from megatron.core.transformer.multi_latent_attention import Linear
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_config import MLATransformerConfig
from torch import Tensor

from k2core.engines.megatron.architecture import megatron_config
from k2core.engines.megatron.attention import CoreAttention
from k2core.engines.megatron.experts import BalancedRouter, GroupedExperts
from k2core.engines.megatron.fused import FusedAttention, has_fused_kernel
from k2core.engines.megatron.lean import DenseBlock, SharedExperts
from k2core.engines.megatron.model import SparseLossModel
from k2core.engines.megatron.shards import draw_weights
from schemas.model import ModelShape
from schemas.placement import Placement

if TYPE_CHECKING:
    from megatron.core.transformer.transformer_block import TransformerBlockSubmodules

_Scaled = tuple[Tensor, float]
"""YaRN's angles and the scale of what they turn."""


class RMSNorm(torch.nn.RMSNorm):
    """RMSNorm that marks its gain for Megatron's sequence-parallel gradient sum.

    Upstream's WrappedTorchNorm refuses sequence parallelism, which TP with MoE demands; only the
    mark was missing.
    """

    def __init__(
        self, config: MLATransformerConfig, hidden_size: int, eps: float = 1e-6, **_kwargs: object
    ) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]


def block_spec(config: MLATransformerConfig) -> "TransformerBlockSubmodules":
    """Megatron's local decoder spec, with our attention, norms, experts and router."""
    spec = get_gpt_decoder_block_spec(config, use_transformer_engine=False, normalization="RMSNorm")
    # The fused kernel is for 16 bits; ours takes any.
    fused = config.params_dtype.itemsize == 2 and has_fused_kernel()
    core = FusedAttention if fused else CoreAttention
    for layer in spec.layer_specs:
        parts = layer.submodules
        parts.input_layernorm = parts.pre_mlp_layernorm = RMSNorm
        attention = parts.self_attention.submodules
        attention.core_attention = core
        attention.q_layernorm = attention.kv_layernorm = RMSNorm
        # As column-parallel layers the down-projections lose a part of the shared rotary key's
        # gradient when TP > 1 (its backward only splits); replicated, as with TE, they are right.
        attention.linear_q_down_proj = attention.linear_kv_down_proj = Linear
        if hasattr(parts.mlp.submodules, "experts"):
            parts.mlp.submodules.experts = ModuleSpec(module=GroupedExperts)
            parts.mlp.submodules.router = BalancedRouter
            parts.mlp.submodules.shared_experts.module = SharedExperts
        else:
            parts.mlp.module = DenseBlock
    spec.layer_norm = RMSNorm
    return spec


def build_model(
    shape: ModelShape,
    placement: Placement,
    seed: int,
    dtype: torch.dtype = torch.float32,
    *,
    fp8_storage: bool = False,
    drawn: bool = True,
) -> SparseLossModel:
    """This rank's part of a model with random weights; the seed decides them, in any layout.

    Args:
        shape: the model.
        placement: the layout.
        seed: of what is random.
        dtype: of the parameters.
        fp8_storage: keep what a backward pass needs in FP8.
        drawn: False leaves Megatron's own weights, for those that will be replaced.
    """
    tensor_parallel.model_parallel_cuda_manual_seed(seed, inference_rng_tracker=True)
    config = megatron_config(shape, placement, dtype)
    config.fp8_storage = fp8_storage
    config.lean = fp8_storage or placement.recompute == "selective"
    config.offloader = None  # the trainer's, once weights are where they stay
    config.num_sequences = 1  # the trainer sets the global batch's; see `BalancedRouter`
    config.folding = None  # and the micro-batch's; see `folding.py`
    model = SparseLossModel(
        config=config,
        transformer_layer_spec=block_spec(config),
        vocab_size=shape.vocab_size,
        max_sequence_length=shape.max_position_embeddings,
        share_embeddings_and_output_weights=False,
        position_embedding_type="rope",
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    )
    for layer in model.decoder.layers:
        layer.self_attention.rotary_pos_emb.register_forward_hook(partial(_at_positions, config))
    if drawn:
        draw_weights(model, shape, seed)
    return model


def _at_positions(
    config: MLATransformerConfig, _module: torch.nn.Module, _given: object, found: Tensor | _Scaled
) -> Tensor | _Scaled:
    """Rotary angles [T, 1, 1, d] of a folded row's tokens, which do not stand where they count."""
    if config.folding is None:
        return found
    if isinstance(found, Tensor):
        return found[config.folding.positions]
    angles, scale = found  # YaRN's
    return angles[config.folding.positions], scale
