"""One of two ranks that train with a fix of upstream and without."""

import inspect

import pytest
import torch

from k2core.engines.megatron import spec
from k2core.engines.megatron.batch import Batch
from k2core.engines.megatron.trainer import Trainer
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

SHAPE = ModelShape(
    num_layers=2, hidden_size=32, num_heads=2, vocab_size=300, num_experts=2, init_std=0.2
)


def gradient_norm(**sizes: int) -> float:
    """Of one step on the same four rows."""
    placement = Placement(num_ranks=2, **sizes)
    trainer = Trainer(SHAPE, OptimConfig(), seed=0, placement=placement)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 300, (4, 17), generator=generator)
    batch = Batch(tokens[:, :-1], tokens[:, 1:], torch.ones(4, 16), torch.zeros(4, 16).long())
    rows = 4 // placement.dp
    mine = batch.select_rows(trainer.seat.data * rows, (trainer.seat.data + 1) * rows)
    return trainer.step(mine, 1e-12).grad_norm


def compare_fixes() -> dict[str, float | str]:
    """The reference, then each fix on and off; the last one leaves ranks in disorder."""
    from megatron.core.tensor_parallel import ColumnParallelLinear
    from megatron.core.transformer.moe import token_dispatcher

    found: dict[str, float | str] = {
        "reference": gradient_norm(),
        "replicated down-projections": gradient_norm(tp=2),
        "splits as numbers": gradient_norm(ep=2),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec, "Linear", ColumnParallelLinear)
        found["column-parallel down-projections"] = gradient_norm(tp=2)
    ours = token_dispatcher.maybe_move_tensor_to_cpu
    token_dispatcher.maybe_move_tensor_to_cpu = inspect.getclosurevars(ours).nonlocals["upstream"]
    try:
        found["splits as tensors"] = gradient_norm(ep=2)
    except Exception as error:  # whatever it is, the test reads it
        found["splits as tensors"] = repr(error)
    return found
