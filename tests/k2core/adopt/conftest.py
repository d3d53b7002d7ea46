import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from k2core.model.config import shape_of
from k2core.model.shards import INDEX
from k2core.model.tensors import tensor_shapes
from tests.k2core.adopt.variants import SMALL, Config

CONFIG = {**SMALL, "model_type": "deepseek_v3", "rope_theta": 10_000.0}
Tensors = dict[str, torch.Tensor]
Save = Callable[..., Path]


def draw(config: Config = CONFIG) -> Tensors:
    """Weights of a config's shape, by name."""
    generator = torch.Generator().manual_seed(0)
    sizes = tensor_shapes(shape_of(config, "here"))
    return {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


@pytest.fixture
def save(tmp_path: Path, tokenizer_folder: Path) -> Save:
    """Writes a checkpoint as others have it, in files by name."""

    def write(files: Mapping[str, Tensors], config: Config = CONFIG, index: object = None) -> Path:
        folder = tmp_path / "brought"
        folder.mkdir(exist_ok=True)
        shutil.copy(tokenizer_folder / "tokenizer.json", folder)
        (folder / "config.json").write_text(json.dumps(config))
        for file, tensors in files.items():
            save_file(tensors, folder / file)
        if index is not None or len(files) > 1:
            places = {name: file for file, tensors in files.items() for name in tensors}
            text = index if isinstance(index, str) else json.dumps(index or {"weight_map": places})
            (folder / INDEX).write_text(text)
        return folder

    return write
