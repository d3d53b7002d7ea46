"""Weights between Megatron's ranks and the Hugging Face layout, both ways, in any layout.

No rank holds a whole model: it reads its own slices, and writes whole files, a tensor at a time.
The files are the same whatever the layout, and ranks need share no folder.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from megatron.core import parallel_state

from k2core.engines.megatron.spread import SpreadWeights, held_shards
from k2core.model.shards import SHARD_BYTES, CheckpointReader, CheckpointWriter
from k2core.model.tensors import check_tensors
from schemas.model import ModelShape

if TYPE_CHECKING:
    from megatron.core.models.gpt import GPTModel


@torch.no_grad()
def import_checkpoint(model: "GPTModel", shape: ModelShape, folder: Path) -> int:
    """Fill this rank's weights from a checkpoint; returns the bytes that were read.

    Raises:
        FileNotFoundError: the folder is not a whole checkpoint.
        ValueError: it is another model's; names the tensor. Nothing was read.
    """
    reader = CheckpointReader(folder)
    check_tensors(reader.shapes, shape, folder)
    rank = parallel_state.get_tensor_model_parallel_rank()
    for _, parts in held_shards(model, shape):
        for name, target, axis in parts:
            starts = [0] * target.dim()
            if axis is not None:
                starts[axis] = rank * target.size(axis)
            target.copy_(reader.read(name, starts, target.shape))
    return reader.num_bytes


@torch.no_grad()
def export_checkpoint(weights: SpreadWeights, folder: Path, max_bytes: int = SHARD_BYTES) -> int:
    """Write the weights as fp32; returns the bytes that this rank wrote. All ranks take part.

    Files are dealt to ranks, and a tensor goes from its owner to the rank that has its file.
    """
    ranks = weights.group
    writer = CheckpointWriter(folder, weights.shapes, max_bytes, ranks.rank, ranks.num_ranks)
    writer.create()
    for name, tensor in weights.to(writer.writer_of):
        writer.write(name, tensor)
    writer.finish()
    ranks.wait()
    if ranks.rank == 0:
        writer.write_index()
    ranks.wait()
    return writer.num_bytes
