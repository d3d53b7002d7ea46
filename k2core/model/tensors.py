"""Every tensor of a checkpoint in the Hugging Face layout: its name and its shape."""

from collections.abc import Mapping

from k2core.model.names import pair_names
from schemas.model import ModelShape

TensorShape = tuple[int, ...]


def tensor_shapes(shape: ModelShape) -> dict[str, TensorShape]:
    """Names and shapes, in the model's order."""
    s = shape
    always = _shapes_by_module(s)
    found: dict[str, TensorShape] = {}
    for name in (name for pair in pair_names(s) for name in pair.hf):
        module = name.removesuffix(".weight").rsplit(".", 1)[-1]
        if module in always:
            found[name] = always[module]
            continue
        inner = s.ffn_hidden_size
        if ".shared_experts." in name:
            inner = s.num_shared_experts * s.moe_ffn_hidden_size
        elif ".experts." in name:
            inner = s.moe_ffn_hidden_size
        down = module == "down_proj"
        found[name] = (s.hidden_size, inner) if down else (inner, s.hidden_size)
    return found


def _shapes_by_module(s: ModelShape) -> dict[str, TensorShape]:
    """All but the feed-forward blocks, whose inner widths differ."""
    hidden, q_rank = s.hidden_size, s.q_lora_rank or 0
    queries = s.num_heads * (s.qk_nope_head_dim + s.qk_rope_head_dim)
    return {
        "embed_tokens": (s.vocab_size, hidden),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
        "q_a_proj": (q_rank, hidden),
        "q_a_layernorm": (q_rank,),
        "q_b_proj": (queries, q_rank),
        "q_proj": (queries, hidden),
        "kv_a_proj_with_mqa": (s.kv_lora_rank + s.qk_rope_head_dim, hidden),
        "kv_a_layernorm": (s.kv_lora_rank,),
        "kv_b_proj": (s.num_heads * (s.qk_nope_head_dim + s.v_head_dim), s.kv_lora_rank),
        "o_proj": (hidden, s.num_heads * s.v_head_dim),
        "gate": (s.num_experts, hidden),
        "e_score_correction_bias": (s.num_experts,),
        "norm": (hidden,),
        "lm_head": (s.vocab_size, hidden),
    }


def check_tensors(found: Mapping[str, TensorShape], shape: ModelShape, source: object) -> None:
    """Refuse a checkpoint of another model, before a byte of its weights is read.

    Args:
        found: shapes by name.
        shape: what they should be.
        source: whose tensors they are, for the message.

    Raises:
        ValueError: a tensor is missing, unknown to the shape, or of another size; names it.
    """
    try:
        check_shapes(found, tensor_shapes(shape), source, "the model shape")
    except ValueError as error:
        raise ValueError(
            f"{error}; its config.json and weights belong to different models"
        ) from None


def check_shapes(
    found: Mapping[str, TensorShape],
    wanted: Mapping[str, TensorShape],
    source: object,
    of: object,
) -> None:
    """Refuse tensors of another model.

    Args:
        found: shapes by name.
        wanted: what they should be.
        source: whose tensors they are, for the message.
        of: whose tensors are wanted, for the message.

    Raises:
        ValueError: a tensor is missing, unknown, or of another size; names it.
    """
    if wrong := sorted(wanted.keys() ^ found.keys()):
        verb = "lacks" if wrong[0] in wanted else "has the unknown"
        raise ValueError(
            f"{source} {verb} tensor {wrong[0]} ({len(wrong)} names differ from those of {of})"
        )
    for name, size in wanted.items():
        if tuple(found[name]) != tuple(size):
            raise ValueError(f"{name} is {list(found[name])} in {source}, and {list(size)} in {of}")
