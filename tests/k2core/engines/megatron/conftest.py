from collections.abc import Callable

import pytest
import torch

from k2core.engines.megatron.batch import PADDING, Batch
from schemas.model import ModelShape
from tests.k2core.shapes import tiny_shape

BatchMaker = Callable[..., Batch]


@pytest.fixture
def shape() -> ModelShape:
    """Small, yet with every part: dense and sparse layers, two heads, a shared expert."""
    return tiny_shape(
        vocab_size=300,
        num_layers=3,
        hidden_size=48,
        q_lora_rank=24,
        qk_nope_head_dim=16,
        v_head_dim=12,
        max_position_embeddings=256,
        original_max_position_embeddings=256,
        init_std=0.1,
    )


@pytest.fixture
def make_batch() -> BatchMaker:
    """Rows with two documents each, a masked label at the seam, and padding in all but row 0."""

    def make(seed: int, rows: int = 5, width: int = 24) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, 300, (rows, width + 1), generator=generator)
        segments = (torch.arange(width) >= width // 3).long().repeat(rows, 1)
        for row in range(1, rows):
            segments[row, width - 2 * row :] = PADDING
        mask = (segments >= 0).float()
        mask[:, width // 3 - 1] = 0
        return Batch(tokens[:, :-1], tokens[:, 1:], mask, segments)

    return make
