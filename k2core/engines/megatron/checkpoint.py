"""Weights between Megatron's ranks and the Hugging Face layout, both ways, in any layout.

No rank holds a whole model: it reads its own slices, and writes its own tensors, one at a time. The
files are the same whatever the layout.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from k2core.engines.megatron.shards import Shard, list_shards
from k2core.model.names import NamePair, pair_names, split_tensor
from k2core.model.shards import SHARD_BYTES, CheckpointReader, CheckpointWriter
from k2core.model.tensors import check_tensors, tensor_shapes
from schemas.model import ModelShape

if TYPE_CHECKING:
    from megatron.core.models.gpt import GPTModel


class _Part(NamedTuple):
    """What this rank holds of a Hugging Face tensor: all of it, or a slice along an axis."""

    name: str
    tensor: Tensor
    """A view of the parameter."""
    axis: int | None


def _parts(shard: Shard, pair: NamePair) -> Iterator[_Part]:
    """Of a rank's experts each is a tensor of its own; gate and up are each split for itself."""
    names = pair.hf
    if shard.expert:
        size = parallel_state.get_expert_model_parallel_world_size()
        rank = parallel_state.get_expert_model_parallel_rank()
        names = names[rank * len(names) // size : (rank + 1) * len(names) // size]
    for name, tensor in split_tensor(shard.tensor.detach(), names).items():
        yield _Part(name, tensor, shard.axis)


def _held_parts(model: "GPTModel", shape: ModelShape) -> Iterator[tuple[Shard, list[_Part]]]:
    shards = list_shards(model)
    for pair in pair_names(shape):
        if pair.megatron in shards:
            shard = shards[pair.megatron]
            yield shard, list(_parts(shard, pair))


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
    for _, parts in _held_parts(model, shape):
        for name, target, axis in parts:
            starts = [0] * target.dim()
            if axis is not None:
                starts[axis] = rank * target.size(axis)
            target.copy_(reader.read(name, starts, target.shape))
    return reader.num_bytes


@torch.no_grad()
def export_checkpoint(
    model: "GPTModel", shape: ModelShape, folder: Path, max_bytes: int = SHARD_BYTES
) -> int:
    """Write the weights as fp32; returns the bytes that this rank wrote. All ranks take part.

    Replicas of a tensor take turns as writers. Only tensor-parallel slices travel, to the first
    rank of their group.
    """
    writer = CheckpointWriter(folder, tensor_shapes(shape), max_bytes)
    if dist.get_rank() == 0:
        writer.create()
    dist.barrier()
    for number, (shard, parts) in enumerate(_held_parts(model, shape)):
        if _is_turn(number, shard):
            for name, tensor, axis in parts:
                whole = tensor if axis is None else _gather(tensor, axis)
                if shard.expert or parallel_state.get_tensor_model_parallel_rank() == 0:
                    writer.write(name, whole)
    total = torch.tensor(writer.num_bytes, device=next(model.parameters()).device)
    dist.all_reduce(total)
    if dist.get_rank() == 0:
        writer.finish(int(total))
    dist.barrier()
    return writer.num_bytes


def _is_turn(number: int, shard: Shard) -> bool:
    """True on one of the replicas that hold the same part of a tensor."""
    group = parallel_state.get_data_parallel_group(with_context_parallel=True)
    if shard.expert:
        group = parallel_state.get_expert_data_parallel_group()
    return number % dist.get_world_size(group) == dist.get_rank(group)


def _gather(part: Tensor, axis: int) -> Tensor:
    """The whole tensor on the group's first rank; on the others their part."""
    group = parallel_state.get_tensor_model_parallel_group()
    if dist.get_world_size(group) == 1:
        return part
    part = part.contiguous()
    if dist.get_rank(group):
        dist.gather(part, group_dst=0, group=group)
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size(group))]
    dist.gather(part, parts, group_dst=0, group=group)
    return torch.cat(parts, axis)
