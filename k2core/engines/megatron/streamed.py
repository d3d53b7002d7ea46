"""A model's logits in the memory of one of its layers: a pipeline's stages, one after another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from megatron.core import parallel_state
from torch import Tensor

from k2core.engines.megatron.checkpoint import import_checkpoint
from k2core.engines.megatron.model import SparseLossModel
from k2core.engines.megatron.process_group import join_ranks
from k2core.engines.megatron.spec import build_model
from k2core.model.config import load_shape
from schemas.placement import Placement


@torch.no_grad()
def stream_logits(folder: Path, windows: Sequence[Tensor]) -> list[Tensor]:
    """Next-token logits [S, V] of each window of token ids [S], on the CPU in fp32; on one rank.

    A layer's weights are read, all windows go through it, and it is dropped. The figures are those
    of `Trainer.logits`, bit for bit.

    Args:
        folder: a checkpoint in the Hugging Face layout.
        windows: of any lengths.
    """
    shape = load_shape(folder)
    join_ranks(Placement(num_ranks=1))
    stages = Placement(num_ranks=shape.num_layers, pp=shape.num_layers)
    held: list[Tensor | None] = [None] * len(windows)
    for stage in range(stages.pp):
        with _as_stage(stage, stages.pp):
            model = build_model(shape, stages, 0, drawn=False).eval()
            for layer in model.decoder.layers:  # upstream asks the group of ranks, which is one
                layer.layer_number = stage + 1
            import_checkpoint(model, shape, folder)
            if torch.cuda.is_available():
                model.cuda()
            pairs = zip(windows, held, strict=True)
            held = [_go_through(model, window, hidden) for window, hidden in pairs]
            del model
    return [found[0].float().cpu() for found in held if found is not None]


def _go_through(model: SparseLossModel, window: Tensor, hidden: Tensor | None) -> Tensor:
    """Hidden states [S, 1, h], or logits [1, S, V] of the last stage."""
    tokens = window[None].to(next(model.parameters()).device)
    positions = torch.arange(tokens.size(1), device=tokens.device)[None]
    if hidden is not None:
        model.set_input_tensor(hidden)
    found: Tensor = model(tokens, positions, torch.zeros_like(tokens))
    return found


@contextmanager
def _as_stage(stage: int, num_stages: int) -> Iterator[None]:
    """What is built meanwhile is this stage of a pipeline."""
    parallel_state.set_pipeline_model_parallel_world_size(num_stages)
    parallel_state.set_pipeline_model_parallel_rank(stage)
    try:
        yield
    finally:
        parallel_state.set_pipeline_model_parallel_world_size(None)
        parallel_state.set_pipeline_model_parallel_rank(None)
