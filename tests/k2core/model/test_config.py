"""Configs that others wrote: what is read of them, and what is refused with which words."""

import json
from pathlib import Path

import pytest

from k2core.model.config import ConfigError, describe_difference, load_shape, shape_of
from k2core.model.hf import describe_shape
from schemas.model import ModelShape
from tests.k2core.adopt.variants import DEEPSEEK, K2, MOONLIGHT, SMALL, Config, rope, yarn
from workflows.large_recipes import K2_SHAPE, MOONLIGHT_SHAPE

PLAIN = {**SMALL, "model_type": "deepseek_v3", "rope_theta": 10_000.0}
NEW = {k: v for k, v in PLAIN.items() if k != "rope_theta"}


def test_published_configs_are_the_published_shapes() -> None:
    assert describe_difference(shape_of(MOONLIGHT, "here"), MOONLIGHT_SHAPE) == ""
    assert describe_difference(shape_of(K2, "here"), K2_SHAPE) == "init_std 0.02, not 0.006"
    found = shape_of(DEEPSEEK, "here")
    assert (found.num_expert_groups, found.groups_per_token) == (8, 4)
    assert (found.yarn_factor, found.yarn_beta_fast, found.rope_theta) == (40, 32, 10_000)
    assert found.routed_scaling_factor == 2.5


@pytest.mark.parametrize("config", [MOONLIGHT, K2, DEEPSEEK])
def test_what_is_written_of_a_shape_is_read_as_the_same(config: Config) -> None:
    shape = shape_of(config, "here")
    written = describe_shape(shape)
    assert shape_of(written, "here") == shape
    for key in ("n_group", "topk_group", "routed_scaling_factor", "rope_theta", "q_lora_rank"):
        assert written[key] == config[key]


def test_old_and_new_spellings_are_one_shape() -> None:
    expected = shape_of(PLAIN, "here")
    spellings: list[Config] = [
        {**NEW, **rope(5, 10_000.0)},
        {**NEW, **rope(5, 10_000.0), "rope_theta": 1.0},  # the newer wins
        {**PLAIN, "rope_scaling": {"type": "default"}},
        {k: v for k, v in PLAIN.items() if k != "n_routed_experts"} | {"num_local_experts": 8},
        {k: v for k, v in PLAIN.items() if k != "n_routed_experts"} | {"num_experts": 8},
        {k: v for k, v in PLAIN.items() if k != "n_group"},
        {k: v for k, v in PLAIN.items() if k != "first_k_dense_replace"}
        | {"mlp_layer_types": ["dense", "sparse", "sparse"]},
        {**PLAIN, "n_group": 4, "topk_group": 4},  # all groups
        {**PLAIN, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "head_dim": 8},
    ]
    assert [shape_of(config, "here") for config in spellings] == [expected] * len(spellings)
    stretched = [{**NEW, **rope(major, 5e4, yarn(1.0))} for major in (4, 5)]
    assert shape_of(stretched[0], "here") == shape_of(stretched[1], "here")
    unsaid = {key: value for key, value in yarn(32.0).items() if key not in ("factor", "beta_fast")}
    derived = shape_of({**PLAIN, "rope_scaling": unsaid}, "here")
    assert (derived.yarn_factor, derived.yarn_beta_fast) == (4.0, 32.0)


def other(**changes: object) -> Config:
    return {**PLAIN, **changes}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            other(model_type="llama", architectures=["LlamaForCausalLM"]),
            "'llama'.*deepseek_v3, kimi",
        ),
        (other(model_type="qwen3_moe"), "'qwen3_moe' .*supported are deepseek_v3, kimi_k2"),
        (other(model_type="kimi_k25", text_config={}), "language model stands in text_config"),
        (other(model_type=None), "model_type None"),
        (other(scoring_func="softmax"), "scoring_func 'softmax': only 'sigmoid'"),
        (other(topk_method="group_limited_greedy"), "topk_method 'group_limited_greedy'"),
        (other(hidden_act="gelu"), "hidden_act 'gelu': only 'silu'"),
        (other(attention_bias=True), "attention_bias True: only False"),
        (other(rope_interleave=False), "rope_interleave False"),
        (other(moe_layer_freq=2), "moe_layer_freq 2: only 1"),
        (other(norm_topk_prob=False), "norm_topk_prob False with 2 experts"),
        (other(num_experts_per_tok=1), "norm_topk_prob True with 1 experts"),
        (other(num_key_value_heads=1), "num_key_value_heads 1 beside num_attention_heads 2"),
        (other(rope_theta=None), "no rope_theta.*10,000"),
        (other(rope_scaling={"type": "linear", "factor": 2}), "'linear': supported are none and"),
        (other(rope_scaling=yarn(1.0) | {"mscale_all_dim": 0}), "mscale 1.0 and mscale_all_dim 0"),
        (other(rope_scaling=yarn(1.0) | {"truncate": False}), "truncate False"),
        (other(rope_scaling=yarn(1.0) | {"factor": 0.5}), "yarn_factor: .*greater than or equal"),
        (other(n_routed_experts=None), "no n_routed_experts or num_local_experts or"),
        (other(first_k_dense_replace=9), "num_dense_layers=9 exceeds num_layers=3"),
        (other(mlp_layer_types=["sparse", "dense", "sparse"]), "name 3 layers, dense ones first"),
        (other(n_group=3, topk_group=1), "in num_expert_groups=3"),
        (other(n_shared_experts=0), "n_shared_experts: "),
        (other(hidden_size=50), "hidden_size: .*multiple of 8"),
        (other(vocab_size="many"), "vocab_size: .*integer"),
    ],
)
def test_what_is_not_computed_here_is_refused(config: Config, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        shape_of(config, "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "has no config.json"), ("{", "is no JSON"), ("[1]", "holds a list, not an object")],
)
def test_a_broken_config_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_shape(tmp_path)


def test_a_config_is_read_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(PLAIN))
    assert load_shape(tmp_path) == shape_of(PLAIN, "here")
    assert isinstance(load_shape(tmp_path), ModelShape)
