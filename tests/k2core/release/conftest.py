import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from k2core.chat.hub import write_chat_files
from k2core.model.hf import describe_checkpoint, describe_shape
from tests.k2core.shapes import tiny_shape

SaveModel = Callable[[Path, int], Path]


@pytest.fixture
def save_model(tmp_path: Path, tokenizer_folder: Path) -> SaveModel:
    """Writes a checkpoint of random weights, which transformers draws and vLLM can serve."""
    shape = tiny_shape(init_std=0.2, qk_nope_head_dim=24, v_head_dim=32)

    def save(folder: Path, seed: int) -> Path:
        import torch
        from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

        torch.manual_seed(seed)
        tokenizer = tmp_path / "tokenizer"
        DeepseekV3ForCausalLM(DeepseekV3Config(**describe_shape(shape))).save_pretrained(folder)
        tokenizer.mkdir(exist_ok=True)
        shutil.copy(tokenizer_folder / "tokenizer.json", tokenizer)
        write_chat_files(tokenizer)
        describe_checkpoint(folder, shape, tokenizer, {})
        return folder

    return save
