"""Checkpoints in the Hugging Face layout, as transformers and vLLM load them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.chat.hub import state_max_length
from k2core.model.scaling import derive_scaling_factor, routed_scaling_factor
from k2core.model.shards import INDEX, CheckpointReader
from schemas.model import ModelShape

if TYPE_CHECKING:
    from torch import Tensor

_SAME_VALUE = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "first_k_dense_replace": "num_dense_layers",
    "num_attention_heads": "num_heads",
    "q_lora_rank": "q_lora_rank",
    "kv_lora_rank": "kv_lora_rank",
    "qk_nope_head_dim": "qk_nope_head_dim",
    "qk_rope_head_dim": "qk_rope_head_dim",
    "v_head_dim": "v_head_dim",
    "intermediate_size": "ffn_hidden_size",
    "moe_intermediate_size": "moe_ffn_hidden_size",
    "n_routed_experts": "num_experts",
    "num_experts_per_tok": "experts_per_token",
    "n_shared_experts": "num_shared_experts",
    "max_position_embeddings": "max_position_embeddings",
    "rms_norm_eps": "rms_norm_eps",
    "initializer_range": "init_std",
    "aux_loss_alpha": "seq_aux_loss",
    "router_bias_update_rate": "bias_update_rate",
}
"""config.json's key -> ModelShape's field, where the values are the same."""
_CONSTANTS = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "dtype": "float32",
    "torch_dtype": "float32",  # the same for readers before transformers 4.56
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
    "rope_interleave": True,
    "n_group": 1,
    "topk_group": 1,
    "seq_aux": True,
    # transformers leaves these four out when it saves; vLLM needs them.
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "moe_layer_freq": 1,
    "num_nextn_predict_layers": 0,
}
_STOP_TOKENS = ("<|im_end|>", "[EOS]", "<|endoftext|>")
YARN_BETAS = {"beta_fast": 1.0, "beta_slow": 1.0}
"""YaRN's ramp in K2's released config.json, narrower than DeepSeek-V3's 32 to 1."""


def _describe_rope(shape: ModelShape) -> dict[str, object]:
    """The rotary embedding, as transformers 5 reads it and as everything before does.

    A reader that finds neither of the places it knows takes a base of 10,000 without a word.
    """
    yarn = {
        "factor": shape.yarn_factor,
        "original_max_position_embeddings": shape.original_max_position_embeddings,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        **YARN_BETAS,
    }
    kind, scaling = ("default", None) if shape.yarn_factor == 1 else ("yarn", yarn)
    return {
        "rope_parameters": {
            "rope_type": kind,
            "rope_theta": shape.rope_theta,
            **(scaling or {}),
        },
        "rope_theta": shape.rope_theta,
        "rope_scaling": scaling and {"type": kind, "rope_type": kind, **scaling},
    }


def describe_shape(shape: ModelShape) -> dict[str, Any]:
    """The shape as config.json says it."""
    return {
        **_CONSTANTS,
        **{theirs: getattr(shape, ours) for theirs, ours in _SAME_VALUE.items()},
        "num_key_value_heads": shape.num_heads,
        # Megatron leaves a single expert's weight as it is; normalised it would always be 1.
        "norm_topk_prob": shape.experts_per_token > 1,
        "routed_scaling_factor": routed_scaling_factor(shape),
        **_describe_rope(shape),
        "original_max_position_embeddings": shape.original_max_position_embeddings,
    }


def load_shape(folder: Path) -> ModelShape:
    """Read the shape back from a checkpoint's config.json.

    Raises:
        ValueError: not a config.json of ours; the message names the key that lacks.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text())
    try:
        values = {ours: config[theirs] for theirs, ours in _SAME_VALUE.items()}
        rope, factor = config["rope_parameters"], config["routed_scaling_factor"]
        values["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    except KeyError as error:
        raise ValueError(
            f"{path} has no {error}: it is not a checkpoint of this pipeline "
            f"(model_type {config.get('model_type')!r}, expected 'deepseek_v3')"
        ) from None
    derived = derive_scaling_factor(values["num_experts"], values["experts_per_token"])
    return ModelShape(
        **values,
        rope_theta=rope["rope_theta"],
        yarn_factor=rope.get("factor", 1.0),
        routed_scaling_factor=None if factor == derived else factor,
    )


def _special_ids(tokenizer_folder: Path) -> dict[str, object]:
    """BOS and the stop tokens of K2's chat template, as far as the tokenizer has them."""
    path = tokenizer_folder / "tokenizer.json"
    added = json.loads(path.read_text()).get("added_tokens", []) if path.exists() else []
    ids = {token["content"]: token["id"] for token in added}
    stops = [ids[token] for token in _STOP_TOKENS if token in ids]
    found = {
        "bos_token_id": ids.get("[BOS]"),
        "eos_token_id": stops,
        "pad_token_id": ids.get("[PAD]"),
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


def write_json(path: Path, value: object) -> None:
    """Write canonical JSON: sorted keys, so that equal values are equal bytes."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def describe_checkpoint(
    folder: Path, shape: ModelShape, tokenizer_folder: Path, training: Mapping[str, object]
) -> None:
    """Write all of a checkpoint but its weights; equal arguments give equal bytes.

    Args:
        folder: where to; made if missing.
        shape: what the weights are.
        tokenizer_folder: its files are copied as they are; the weights of a checkpoint are not.
        training: how the weights came about (steps, losses, schedule); no wall times.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(tokenizer_folder.iterdir()):
        if path.is_file() and not path.name.endswith((".safetensors", INDEX)):
            shutil.copyfile(path, folder / path.name)
    state_max_length(folder, shape.max_position_embeddings)
    special = _special_ids(tokenizer_folder)
    write_json(folder / "config.json", {**describe_shape(shape), **special})
    write_json(folder / "generation_config.json", {"do_sample": True, **special})
    write_json(folder / "training.json", training)


def load_weights(folder: Path) -> dict[str, "Tensor"]:
    """All tensors of a checkpoint that one process can hold, by Hugging Face names."""
    reader = CheckpointReader(folder)
    return {name: reader.read(name) for name in reader.shapes}
