import json
from pathlib import Path

import pytest
import torch

from k2core.model.digest import tensors_digest
from k2core.model.hf import load_shape, load_weights, save_checkpoint
from k2core.model.names import from_hf, pair_names, to_hf
from schemas.model import ModelShape

SHAPE = ModelShape(num_layers=2, num_experts=3, hidden_size=16)


def random_weights(shape: ModelShape) -> dict[str, torch.Tensor]:
    """Small tensors under the shape's Hugging Face names; their sizes do not matter to the map."""
    generator = torch.Generator().manual_seed(0)
    names = [name for pair in pair_names(shape) for name in pair.hf]
    return {
        name: torch.randn(
            *((4,) if "norm" in name or "bias" in name else (4, 6)), generator=generator
        )
        for name in names
    }


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    added = [{"id": 7, "content": "[EOS]"}, {"id": 5, "content": "<|im_end|>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    return folder


def test_names_round_trip() -> None:
    weights = random_weights(SHAPE)
    megatron = from_hf(weights, SHAPE)
    assert megatron["decoder.layers.1.mlp.experts.weight1"].shape == (3 * 2 * 4, 6)
    back = to_hf(megatron, SHAPE)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_gate_comes_before_up_in_fc1() -> None:
    weights = random_weights(SHAPE)
    fc1 = from_hf(weights, SHAPE)["decoder.layers.0.mlp.linear_fc1.weight"]
    assert torch.equal(fc1[:4], weights["model.layers.0.mlp.gate_proj.weight"])
    assert torch.equal(fc1[4:], weights["model.layers.0.mlp.up_proj.weight"])


def test_a_missing_tensor_is_named() -> None:
    weights = random_weights(SHAPE)
    del weights["model.layers.1.mlp.experts.2.up_proj.weight"]
    with pytest.raises(ValueError, match=r"lacks tensor \S*layers\.1\.mlp\.experts\.2\.up"):
        from_hf(weights, SHAPE)
    with pytest.raises(ValueError, match="unknown tensor extra"):
        from_hf({**random_weights(SHAPE), "extra": torch.zeros(1)}, SHAPE)


def test_equal_weights_are_equal_bytes(tmp_path: Path, tokenizer: Path) -> None:
    weights = random_weights(SHAPE)
    save_checkpoint(tmp_path / "a", SHAPE, weights, tokenizer, {"steps": 3})
    shuffled = dict(sorted(weights.items(), reverse=True))
    save_checkpoint(tmp_path / "b", SHAPE, shuffled, tokenizer, {"steps": 3})
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "training.json",
    ]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        ModelShape(yarn_factor=4.0, max_position_embeddings=4096, routed_scaling_factor=3.0),
        ModelShape(num_experts=64, experts_per_token=6, bias_update_rate=0.0, seq_aux_loss=0.01),
    ],
)
def test_shape_and_weights_come_back(tmp_path: Path, tokenizer: Path, shape: ModelShape) -> None:
    weights = random_weights(shape)
    save_checkpoint(tmp_path / "c", shape, weights, tokenizer, {})
    assert load_shape(tmp_path / "c") == shape
    assert tensors_digest(load_weights(tmp_path / "c")) == tensors_digest(weights)


def test_config_has_what_vllm_needs(tmp_path: Path, tokenizer: Path) -> None:
    save_checkpoint(tmp_path / "c", SHAPE, random_weights(SHAPE), tokenizer, {})
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    assert config["topk_method"] == "noaux_tc"
    assert config["scoring_func"] == "sigmoid"
    assert config["eos_token_id"] == [5, 7]


def test_a_strange_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match=r"has no .*model_type 'llama', expected 'deep"):
        load_shape(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no \*\.safetensors"):
        load_weights(tmp_path)


def test_digest_sees_names_types_shapes_and_bytes() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.ones(1)},
        {"c": torch.zeros(2, 3), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.ones(1) * 2},
    ]
    digests = {tensors_digest(weights) for weights in [base, *others]}
    assert len(digests) == 5
    assert tensors_digest(dict(reversed(base.items()))) == tensors_digest(base)
    assert tensors_digest({"a": torch.zeros(3, 2).t(), "b": torch.ones(1)}) in digests
