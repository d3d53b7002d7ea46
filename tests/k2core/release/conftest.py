from collections.abc import Callable
from pathlib import Path

import pytest

from k2core.model.hf import describe_checkpoint, describe_shape
from schemas.model import ModelShape

SaveModel = Callable[[Path, int], Path]


@pytest.fixture
def save_model(tmp_path: Path) -> SaveModel:
    """Writes a checkpoint of random weights, which transformers draws."""
    shape = ModelShape(
        num_layers=2,
        hidden_size=32,
        num_heads=2,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        ffn_hidden_size=64,
        moe_ffn_hidden_size=32,
        num_experts=4,
        init_std=0.2,
    )

    def save(folder: Path, seed: int) -> Path:
        import torch
        from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

        torch.manual_seed(seed)
        tokenizer = tmp_path / "tokenizer"
        DeepseekV3ForCausalLM(DeepseekV3Config(**describe_shape(shape))).save_pretrained(folder)
        tokenizer.mkdir(exist_ok=True)
        (tokenizer / "tokenizer.json").write_text("{}")
        describe_checkpoint(folder, shape, tokenizer, {})
        return folder

    return save
