"""Whatever shape the schema admits, transformers computes the exported model as Megatron does."""

import random
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from k2core.engines.megatron.trainer import Trainer
from k2core.model.config import load_shape
from k2core.model.scaling import routed_scaling_factor
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from tests.k2core.engines.megatron.test_parity import save


def draw_shape(seed: int) -> ModelShape:
    """Any small shape, the edges of each field among them."""
    rng = random.Random(seed)
    layers = rng.choice((1, 2, 3))
    experts = rng.choice((2, 3, 5, 8))
    return ModelShape(
        vocab_size=rng.choice((300, 301, 333)),
        num_layers=layers,
        num_dense_layers=rng.randint(0, layers),
        hidden_size=rng.choice((16, 24, 40)),
        num_heads=rng.choice((1, 2, 3)),
        q_lora_rank=rng.choice((None, 8, 12)),
        kv_lora_rank=rng.choice((8, 20)),
        qk_nope_head_dim=rng.choice((8, 12)),
        qk_rope_head_dim=rng.choice((8, 10)),
        v_head_dim=rng.choice((8, 9, 16)),
        ffn_hidden_size=rng.choice((16, 33)),
        moe_ffn_hidden_size=rng.choice((16, 24)),
        num_experts=experts,
        experts_per_token=rng.choice((1, 2, experts)),
        num_shared_experts=rng.choice((1, 2)),
        routed_scaling_factor=rng.choice((None, 1.0, 2.5)),
        rope_theta=rng.choice((10_000.0, 50_000.0)),
        yarn_factor=rng.choice((1.0, 4.0)),
        max_position_embeddings=128,
        original_max_position_embeddings=rng.choice((32, 128)),
        rms_norm_eps=rng.choice((1e-6, 1e-5)),
    )


def check(shape: ModelShape, folder: Path) -> None:
    from transformers import DeepseekV3ForCausalLM

    trainer = Trainer(shape, OptimConfig(), seed=1)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    saved = save(trainer, folder)
    kept = load_shape(saved)
    assert routed_scaling_factor(kept) == routed_scaling_factor(shape)
    assert kept == shape.model_copy(update={"routed_scaling_factor": kept.routed_scaling_factor})
    theirs = DeepseekV3ForCausalLM.from_pretrained(saved, dtype=torch.float32).eval()
    tokens = torch.randint(0, 300, (1, 100), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = theirs(tokens).logits
        gap = (trainer.logits(tokens) - expected).abs().max()
    # Widths of 16 with random gains make rounding large; another model differs by tenths.
    assert gap < 1e-3 * max(1.0, float(expected.abs().max())), shape


@pytest.mark.parametrize("seed", range(2))
def test_a_drawn_shape_is_the_same_model_in_transformers(seed: int, tmp_path: Path) -> None:
    check(draw_shape(seed), tmp_path / "c")


def test_one_expert_a_token_is_the_same_model_in_transformers(tmp_path: Path) -> None:
    check(draw_shape(2).model_copy(update={"experts_per_token": 1}), tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 40))
def test_forty_drawn_shapes_are(seed: int, tmp_path: Path) -> None:
    check(draw_shape(seed), tmp_path / "c")


def test_a_single_expert_is_refused() -> None:
    with pytest.raises(ValidationError, match="num_experts"):
        ModelShape(num_experts=1, experts_per_token=1)
