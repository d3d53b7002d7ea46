import json
from math import prod
from pathlib import Path

import pytest
import torch

from k2core.model.config import load_shape
from k2core.model.counts import sum_parameters
from k2core.model.digest import tensors_digest
from k2core.model.hf import describe_checkpoint, describe_shape, load_weights
from k2core.model.names import pair_names, split_tensor
from k2core.model.shards import INDEX, CheckpointWriter
from k2core.model.tensors import check_tensors, tensor_shapes
from schemas.model import ModelShape
from workflows.large_recipes import K2_SHAPE, MOONLIGHT_SHAPE

SHAPE = ModelShape(num_layers=2, num_experts=3, hidden_size=16, vocab_size=300)


def random_weights(shape: ModelShape) -> dict[str, torch.Tensor]:
    """Under the shape's Hugging Face names."""
    generator = torch.Generator().manual_seed(0)
    sizes = tensor_shapes(shape)
    return {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


def save(
    folder: Path, shape: ModelShape, tokenizer: Path, weights: dict[str, torch.Tensor]
) -> Path:
    """A whole checkpoint, its tensors written in the order of `weights`."""
    describe_checkpoint(folder, shape, tokenizer, {"steps": 3})
    writer = CheckpointWriter(folder, tensor_shapes(shape))
    writer.create()
    for name, tensor in weights.items():
        writer.write(name, tensor)
    writer.finish()
    return folder


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    added = [{"id": 7, "content": "[EOS]"}, {"id": 5, "content": "<|im_end|>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    return folder


def test_every_parameter_and_bias_has_its_place_and_size() -> None:
    for shape in (SHAPE, K2_SHAPE, MOONLIGHT_SHAPE):
        biases = shape.num_experts * (shape.num_layers - shape.num_dense_layers)
        sizes = tensor_shapes(shape)
        assert sum(map(prod, sizes.values())) == sum_parameters(shape).total + biases
        assert len(sizes) == sum(len(pair.hf) for pair in pair_names(shape))


def test_gate_comes_before_up_expert_by_expert() -> None:
    pairs = {pair.megatron: pair.hf for pair in pair_names(SHAPE)}
    stack = torch.arange(3.0 * 2 * 4).view(3, 2 * 4, 1).expand(3, 8, 6)
    found = split_tensor(stack, pairs["decoder.layers.1.mlp.experts.weight1"])
    assert [float(tensor[0, 0]) for tensor in found.values()] == [0, 4, 8, 12, 16, 20]
    assert [name.split("experts.")[1] for name in found][:3] == [
        "0.gate_proj.weight",
        "0.up_proj.weight",
        "1.gate_proj.weight",
    ]
    assert all(tensor.shape == (4, 6) for tensor in found.values())
    assert list(split_tensor(torch.zeros(16), pairs["decoder.final_layernorm.weight"])) == [
        "model.norm.weight"
    ]


def test_what_is_not_the_shapes_is_named() -> None:
    sizes = tensor_shapes(SHAPE)
    check_tensors(sizes, SHAPE, "here")
    lost = {n: s for n, s in sizes.items() if not n.endswith("experts.2.up_proj.weight")}
    with pytest.raises(ValueError, match=r"here lacks tensor \S*layers\.1\.mlp\.experts\.2\.up"):
        check_tensors(lost, SHAPE, "here")
    with pytest.raises(ValueError, match="has the unknown tensor extra"):
        check_tensors({**sizes, "extra": (1,)}, SHAPE, "here")
    with pytest.raises(ValueError, match=r"norm\.weight is \[17\] in here, and \[16\] in"):
        check_tensors({**sizes, "model.norm.weight": (17,)}, SHAPE, "here")


def test_equal_weights_are_equal_bytes(tmp_path: Path, tokenizer: Path) -> None:
    weights = random_weights(SHAPE)
    save(tmp_path / "a", SHAPE, tokenizer, weights)
    shuffled = dict(sorted(weights.items(), reverse=True))
    save(tmp_path / "b", SHAPE, tokenizer, shuffled)
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
    save(tmp_path / "c", shape, tokenizer, weights)
    assert load_shape(tmp_path / "c") == shape
    assert tensors_digest(load_weights(tmp_path / "c")) == tensors_digest(weights)


def test_a_stage_that_starts_from_a_checkpoint_takes_its_tokenizer_and_not_its_weights(
    tmp_path: Path, tokenizer: Path
) -> None:
    start = save(tmp_path / "start", SHAPE, tokenizer, random_weights(SHAPE))
    (start / INDEX).write_text("{}")
    describe_checkpoint(tmp_path / "next", SHAPE, start, {})
    names = {path.name for path in (tmp_path / "next").iterdir()}
    assert names == {"config.json", "generation_config.json", "tokenizer.json", "training.json"}


def test_config_has_what_vllm_needs(tmp_path: Path, tokenizer: Path) -> None:
    describe_checkpoint(tmp_path / "c", SHAPE, tokenizer, {})
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    assert config["topk_method"] == "noaux_tc"
    assert config["scoring_func"] == "sigmoid"
    assert config["eos_token_id"] == [5, 7]


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_the_rotary_base_stands_where_every_reader_looks(factor: float) -> None:
    """transformers 5 reads `rope_parameters`; before, two keys, with 10,000 where they lack."""
    shape = ModelShape(rope_theta=12_345.0, yarn_factor=factor)
    config = describe_shape(shape)
    old, new = config["rope_scaling"], config["rope_parameters"]
    assert config["rope_theta"] == new["rope_theta"] == 12_345.0
    assert (old is None) == (factor == 1) == (new["rope_type"] == "default")
    if old:
        assert {k: v for k, v in old.items() if k != "type"} == {
            k: v for k, v in new.items() if k != "rope_theta"
        }
        assert old["factor"] == factor
