"""The map between Megatron's parameter names and the Hugging Face layout (DeepseekV3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from schemas.model import ModelShape

if TYPE_CHECKING:
    from torch import Tensor

_COMPRESSED_QUERIES = {
    "linear_q_down_proj": "q_a_proj",
    "q_layernorm": "q_a_layernorm",
    "linear_q_up_proj": "q_b_proj",
}
_WHOLE_QUERIES = {"linear_q_proj": "q_proj"}
_ATTENTION = {
    "linear_kv_down_proj": "kv_a_proj_with_mqa",
    "kv_layernorm": "kv_a_layernorm",
    "linear_kv_up_proj": "kv_b_proj",
    "linear_proj": "o_proj",
}


def query_projection(shape: ModelShape) -> str:
    """Megatron's module that makes each head's queries: what QK-Clip rescales."""
    return "linear_q_proj" if shape.q_lora_rank is None else "linear_q_up_proj"


class NamePair(NamedTuple):
    """A Megatron tensor is these Hugging Face tensors, joined along the first axis and reshaped.

    One rule covers all cases: a plain matrix is one, fc1 is gate and up, and the stacked experts
    `weight1` [E, 2f, h] and `weight2` [E, h, f] are gate and up, or down, of each expert in turn.
    """

    megatron: str
    hf: tuple[str, ...]


def _feed_forward(megatron: str, hf: str) -> list[NamePair]:
    gate_up = (f"{hf}.gate_proj.weight", f"{hf}.up_proj.weight")
    return [
        NamePair(f"{megatron}.linear_fc1.weight", gate_up),
        NamePair(f"{megatron}.linear_fc2.weight", (f"{hf}.down_proj.weight",)),
    ]


def _sparse_block(megatron: str, hf: str, num_experts: int) -> list[NamePair]:
    experts = [f"{hf}.experts.{e}" for e in range(num_experts)]
    gate_up = tuple(f"{e}.{part}_proj.weight" for e in experts for part in ("gate", "up"))
    down = tuple(f"{e}.down_proj.weight" for e in experts)
    return [
        NamePair(f"{megatron}.router.weight", (f"{hf}.gate.weight",)),
        NamePair(f"{megatron}.router.expert_bias", (f"{hf}.gate.e_score_correction_bias",)),
        *_feed_forward(f"{megatron}.shared_experts", f"{hf}.shared_experts"),
        NamePair(f"{megatron}.experts.weight1", gate_up),
        NamePair(f"{megatron}.experts.weight2", down),
    ]


def pair_names(shape: ModelShape) -> list[NamePair]:
    """Every tensor of a checkpoint, in the model's order."""
    queries = _WHOLE_QUERIES if shape.q_lora_rank is None else _COMPRESSED_QUERIES
    pairs = [NamePair("embedding.word_embeddings.weight", ("model.embed_tokens.weight",))]
    for layer in range(shape.num_layers):
        megatron, hf = f"decoder.layers.{layer}", f"model.layers.{layer}"
        pairs += [
            NamePair(f"{megatron}.input_layernorm.weight", (f"{hf}.input_layernorm.weight",)),
            NamePair(
                f"{megatron}.pre_mlp_layernorm.weight", (f"{hf}.post_attention_layernorm.weight",)
            ),
        ]
        pairs += [
            NamePair(
                f"{megatron}.self_attention.{ours}.weight", (f"{hf}.self_attn.{theirs}.weight",)
            )
            for ours, theirs in (queries | _ATTENTION).items()
        ]
        if layer < shape.num_dense_layers:
            pairs += _feed_forward(f"{megatron}.mlp", f"{hf}.mlp")
        else:
            pairs += _sparse_block(f"{megatron}.mlp", f"{hf}.mlp", shape.num_experts)
    return [
        *pairs,
        NamePair("decoder.final_layernorm.weight", ("model.norm.weight",)),
        NamePair("output_layer.weight", ("lm_head.weight",)),
    ]


def split_tensor(whole: "Tensor", names: Sequence[str]) -> dict[str, "Tensor"]:
    """A Megatron tensor, or a rank's part of one, as Hugging Face tensors (views, no copies).

    Args:
        whole: experts stacked or not.
        names: a pair's, or of a rank's experts.
    """
    rows = whole.flatten(0, -2) if whole.dim() > 1 else whole
    return dict(zip(names, rows.chunk(len(names)), strict=True))
