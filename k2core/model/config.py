"""A config.json of K2's architecture, whoever wrote it, as a `ModelShape`.

DeepSeek's, Moonlight's and K2's own files, and what transformers 4 and 5 save: keys have several
names, some are left out, and some say what no part of this pipeline computes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue, ValidationError

from k2core.model.scaling import derive_scaling_factor
from schemas.model import ModelShape
from schemas.outside import NotJsonError, read_json

Json = Mapping[str, object]

MODEL_TYPES = ("deepseek_v3", "kimi_k2")
"""What a config calls the architecture."""


class ConfigError(ValueError):
    """A config.json of another architecture, or one that cannot be computed here; says what."""


class Key(NamedTuple):
    """Where a value stands."""

    names: tuple[str, ...]
    """Under which a file has it, the newest first."""
    default: object = ...
    """Where none is there; without one the key is needed."""


KEYS: Mapping[str, Key] = {
    "vocab_size": Key(("vocab_size",)),
    "num_layers": Key(("num_hidden_layers",)),
    "hidden_size": Key(("hidden_size",)),
    "num_heads": Key(("num_attention_heads",)),
    "q_lora_rank": Key(("q_lora_rank",), None),
    "kv_lora_rank": Key(("kv_lora_rank",)),
    "qk_nope_head_dim": Key(("qk_nope_head_dim",)),
    "qk_rope_head_dim": Key(("qk_rope_head_dim",)),
    "v_head_dim": Key(("v_head_dim",)),
    "ffn_hidden_size": Key(("intermediate_size",)),
    "moe_ffn_hidden_size": Key(("moe_intermediate_size",)),
    "num_experts": Key(("n_routed_experts", "num_local_experts", "num_experts")),
    "experts_per_token": Key(("num_experts_per_tok", "num_experts_per_token")),
    "num_shared_experts": Key(("n_shared_experts", "num_shared_experts")),
    "num_expert_groups": Key(("n_group", "num_expert_group"), 1),
    "groups_per_token": Key(("topk_group",), 1),
    "max_position_embeddings": Key(("max_position_embeddings",)),
    "rms_norm_eps": Key(("rms_norm_eps",), 1e-6),
    "init_std": Key(("initializer_range",), 0.02),
    "seq_aux_loss": Key(("aux_loss_alpha",), 1e-3),
    "bias_update_rate": Key(("router_bias_update_rate",), 1e-3),
}
"""Field of `ModelShape` -> keys with the same value; the first name is what is written."""

_MOST_EXPERTS = 4096
"""A layer's (K2: 384): what the scaling factor is derived of grows with them."""

_COMPUTED: Mapping[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "rope_interleave": (True,),
    "scoring_func": ("sigmoid",),
    "topk_method": ("noaux_tc",),
    "moe_layer_freq": (1,),
    "mlp_bias": (False,),
    "ep_size": (1,),
}
"""Key -> values that are computed here, the first where it is left out."""


def read_config(folder: Path) -> dict[str, JsonValue]:
    """A checkpoint's config.json.

    Raises:
        ConfigError: there is none, or it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no config.json: it is no checkpoint in the Hugging Face layout"
        )
    try:
        config = read_json(path.read_bytes())
    except NotJsonError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds a {type(config).__name__}, not an object")
    return config


def load_shape(folder: Path) -> ModelShape:
    """The shape that a checkpoint's config.json says.

    Raises:
        ConfigError: it is of another architecture, or says what is not computed here.
    """
    return shape_of(read_config(folder), folder / "config.json")


def shape_of(config: Json, source: object) -> ModelShape:
    """The shape that a config says; `source` names it in errors.

    Raises:
        ConfigError: as of `load_shape`.
    """
    _check_architecture(config, source)
    _check_computed(config, source)
    values = {field: _find(config, key, source) for field, key in KEYS.items()}
    values["num_dense_layers"] = _count_dense(config, values["num_layers"], source)
    values |= _read_rope(config, values["max_position_embeddings"], source)
    if values["num_expert_groups"] == values["groups_per_token"]:
        values |= {"num_expert_groups": 1, "groups_per_token": 1}  # all groups are no groups
    values["routed_scaling_factor"] = config.get("routed_scaling_factor", 1.0)
    try:
        shape = ModelShape.model_validate({k: v for k, v in values.items() if v is not ...})
    except ValidationError as error:
        names = {field: key.names[0] for field, key in KEYS.items()}
        told = [_tell(names, dict(e)) for e in error.errors()]
        raise ConfigError(f"{source}: {'; '.join(told)}") from None
    _check_gates(config, shape, source)
    if shape.num_experts > _MOST_EXPERTS:
        raise ConfigError(f"{source} has {shape.num_experts} experts: {_MOST_EXPERTS} at most")
    derived = derive_scaling_factor(shape.num_experts, shape.experts_per_token)
    if shape.routed_scaling_factor == derived:
        return shape.model_copy(update={"routed_scaling_factor": None})
    return shape


def _tell(names: Mapping[str, str], error: Mapping[str, object]) -> str:
    where = error["loc"]
    field = str(where[0]) if isinstance(where, tuple) and where else ""
    return f"{names.get(field, field) or 'the shape'}: {error['msg']}"


def _check_architecture(config: Json, source: object) -> None:
    kind, classes = config.get("model_type"), config.get("architectures") or []
    if kind in MODEL_TYPES:
        return
    named = ", ".join(map(str, classes)) if isinstance(classes, list) else str(classes)
    if "text_config" in config:
        named += "; its language model stands in text_config, beside other parts"
    raise ConfigError(
        f"{source} is of model_type {kind!r} ({named or 'no architectures'}): supported are "
        f"{', '.join(MODEL_TYPES)}, the architecture of DeepSeek-V3, Moonlight and Kimi K2 "
        "(multi-head latent attention, and experts chosen by sigmoid scores with a bias)"
    )


def _check_computed(config: Json, source: object) -> None:
    for key, values in _COMPUTED.items():
        found = config.get(key, values[0])
        if found is not None and found not in values:
            shown = " or ".join(map(repr, values))
            raise ConfigError(f"{source} has {key} {found!r}: only {shown} is computed here")
    heads, shared = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if shared is not None and shared != heads:
        raise ConfigError(
            f"{source} has num_key_value_heads {shared!r} beside num_attention_heads {heads!r}: "
            "latent attention has as many of both"
        )


def _find(config: Json, key: Key, source: object) -> object:
    for name in key.names:
        if config.get(name) is not None:
            return config[name]
    if key.default is ...:
        raise ConfigError(f"{source} has no {' or '.join(key.names)}: a {MODEL_TYPES[0]} needs it")
    return key.default


def _count_dense(config: Json, num_layers: object, source: object) -> object:
    """Leading layers without experts: by number, or by a list of what each layer is."""
    kinds = config.get("mlp_layer_types")
    if isinstance(kinds, list):
        dense = [kind == "dense" for kind in kinds]
        count = sum(dense)
        if len(dense) != num_layers or any(dense[count:]):
            raise ConfigError(
                f"{source}: mlp_layer_types is to name {num_layers} layers, dense ones first"
            )
        return count
    return _find(config, Key(("first_k_dense_replace",)), source)


def _read_rope(config: Json, longest: object, source: object) -> dict[str, object]:
    """The rotary base and YaRN's figures, from either of the places that writers have."""
    rope: dict[str, object] = {}
    for name in ("rope_scaling", "rope_parameters"):  # the newer wins
        found = config.get(name)
        if isinstance(found, dict):
            rope |= {key: value for key, value in found.items() if value is not None}
    theta = rope.get("rope_theta", config.get("rope_theta"))
    if theta is None:
        raise ConfigError(
            f"{source} has no rope_theta, at its top or in rope_parameters: readers would take "
            "10,000, each without a word; state the base that the model was trained with"
        )
    kind = rope.get("rope_type", rope.get("type", "default"))
    original = rope.get(
        "original_max_position_embeddings", config.get("original_max_position_embeddings", longest)
    )
    values: dict[str, object] = {"rope_theta": theta}
    if kind == "default":
        return {**values, "original_max_position_embeddings": original}
    if kind != "yarn":
        raise ConfigError(f"{source} has rotary scaling {kind!r}: supported are none and 'yarn'")
    _check_yarn(rope, source)
    factor = rope.get("factor")
    if factor is None and isinstance(longest, int) and isinstance(original, int):
        factor = longest / max(original, 1)
    return values | {
        "original_max_position_embeddings": original,
        "yarn_factor": factor,
        "yarn_beta_fast": rope.get("beta_fast", 32.0),
        "yarn_beta_slow": rope.get("beta_slow", 1.0),
        "yarn_mscale": rope.get("mscale", 0.0),
    }


def _check_yarn(rope: Json, source: object) -> None:
    scale, everywhere = rope.get("mscale"), rope.get("mscale_all_dim")
    if scale != everywhere or not scale:
        raise ConfigError(
            f"{source}: YaRN has mscale {scale!r} and mscale_all_dim {everywhere!r}; only equal "
            "ones above 0 are computed here (DeepSeek-V3 and K2: 1.0 both)"
        )
    if rope.get("attention_factor", 1.0) != 1.0 or rope.get("truncate", True) is not True:
        raise ConfigError(
            f"{source}: YaRN has attention_factor {rope.get('attention_factor')!r} and truncate "
            f"{rope.get('truncate')!r}: neither is computed here"
        )


def _check_gates(config: Json, shape: ModelShape, source: object) -> None:
    """Megatron divides the gates of several experts by their sum, and leaves a single one."""
    wanted = shape.experts_per_token > 1
    if shape.num_layers > shape.num_dense_layers and config.get("norm_topk_prob", True) != wanted:
        raise ConfigError(
            f"{source} has norm_topk_prob {config.get('norm_topk_prob')!r} with "
            f"{shape.experts_per_token} experts a token: only {wanted} is computed here"
        )


def describe_difference(found: ModelShape, wanted: ModelShape) -> str:
    """Fields in which two shapes differ, e.g. `num_layers 4, not 61`; empty if in none."""
    ours, theirs = found.model_dump(), wanted.model_dump()
    parts: Sequence[str] = [
        f"{name} {value}, not {theirs[name]}"
        for name, value in ours.items()
        if value != theirs[name]
    ]
    return "; ".join(parts)


__all__ = ["ConfigError", "describe_difference", "load_shape", "read_config", "shape_of"]
