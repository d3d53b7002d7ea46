"""Checkpoints in the Hugging Face layout, as transformers and vLLM load them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.chat.hub import state_max_length
from k2core.model.config import KEYS
from k2core.model.scaling import routed_scaling_factor
from k2core.model.shards import INDEX, CheckpointReader
from schemas.model import ModelShape

if TYPE_CHECKING:
    from torch import Tensor

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
    "seq_aux": True,
    # transformers leaves these four out when it saves; vLLM needs them.
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "moe_layer_freq": 1,
    "num_nextn_predict_layers": 0,
}
_SAMPLING = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
"""The model as it is, which is how RL and evaluation sample; transformers' own is `top_k` 50."""
_STOP_TOKENS = ("<|im_end|>", "[EOS]", "<|endoftext|>")


def _describe_rope(shape: ModelShape) -> dict[str, object]:
    """The rotary embedding, as transformers 5 reads it and as everything before does.

    A reader that finds neither of the places it knows takes a base of 10,000 without a word.
    """
    yarn = {
        "factor": shape.yarn_factor,
        "original_max_position_embeddings": shape.original_max_position_embeddings,
        "mscale": shape.yarn_mscale,
        "mscale_all_dim": shape.yarn_mscale,
        "beta_fast": shape.yarn_beta_fast,
        "beta_slow": shape.yarn_beta_slow,
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
        **{key.names[0]: getattr(shape, field) for field, key in KEYS.items()},
        "first_k_dense_replace": shape.num_dense_layers,
        "num_key_value_heads": shape.num_heads,
        # Megatron leaves a single expert's weight as it is; normalised it would always be 1.
        "norm_topk_prob": shape.experts_per_token > 1,
        "routed_scaling_factor": routed_scaling_factor(shape),
        **_describe_rope(shape),
        "original_max_position_embeddings": shape.original_max_position_embeddings,
    }


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
    write_json(folder / "generation_config.json", {**_SAMPLING, **special})
    write_json(folder / "training.json", training)


def state_sampling(folder: Path, temperature: float) -> None:
    """Make a checkpoint sample as it was evaluated, wherever it is loaded."""
    path = folder / "generation_config.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    how = {**_SAMPLING, "temperature": temperature}
    if temperature == 0:  # transformers takes no temperature of 0
        how = {"do_sample": False}
        known = {key: value for key, value in known.items() if key not in _SAMPLING}
    write_json(path, {**known, **how})


def load_weights(folder: Path) -> dict[str, "Tensor"]:
    """All tensors of a checkpoint that one process can hold, by Hugging Face names."""
    reader = CheckpointReader(folder)
    return {name: reader.read(name) for name in reader.shapes}
