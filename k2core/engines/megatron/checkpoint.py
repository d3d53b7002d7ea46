"""Weights between Megatron's ranks and the Hugging Face layout, both ways, in any layout.

No rank holds a whole model: it reads its own slices, and writes whole files, a tensor at a time.
The files are the same whatever the layout, and ranks need share no folder.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from k2core.engines.megatron.shards import Shard, list_shards
from k2core.engines.torchrun.group import Ranks
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
    model: "GPTModel",
    shape: ModelShape,
    folder: Path,
    ranks: Ranks,
    max_bytes: int = SHARD_BYTES,
) -> int:
    """Write the weights as fp32; returns the bytes that this rank wrote. All ranks take part.

    Files are dealt to ranks, and a tensor goes to the rank that has its file: from one of its
    replicas, which take turns. Of tensor-parallel slices the first rank makes it whole.
    """
    shapes = tensor_shapes(shape)
    writer = CheckpointWriter(folder, shapes, max_bytes, ranks.rank, ranks.num_ranks)
    writer.create()
    parts = _parts_in_turn(model, shape)
    owners = _find_owners([name for name, part in parts.items() if part.whole_here], ranks)
    device = next(model.parameters()).device
    for name, size in shapes.items():
        at, to = owners[name], writer.writer_of(name)
        whole = torch.empty(0)
        if name in parts:
            part = parts[name]
            whole = part.tensor if part.axis is None else _gather(part.tensor, part.axis)
        if at == to == ranks.rank:
            writer.write(name, whole)
        elif at == ranks.rank:
            dist.send(whole.to(device, torch.float32).contiguous(), to)
        elif to == ranks.rank:
            dist.recv(whole := torch.empty(size, device=device), at)
            writer.write(name, whole)
    writer.finish()
    ranks.wait()
    if ranks.rank == 0:
        writer.write_index()
    ranks.wait()
    return writer.num_bytes


class _Turn(NamedTuple):
    """A part that this rank gives, alone or with its tensor-parallel group."""

    tensor: Tensor
    axis: int | None
    whole_here: bool
    """This rank has all of it in the end."""


def _parts_in_turn(model: "GPTModel", shape: ModelShape) -> dict[str, _Turn]:
    first = parallel_state.get_tensor_model_parallel_rank() == 0
    return {
        name: _Turn(tensor, axis, shard.expert or first)
        for number, (shard, parts) in enumerate(_held_parts(model, shape))
        if _is_turn(number, shard)
        for name, tensor, axis in parts
    }


def _find_owners(names: list[str], ranks: Ranks) -> dict[str, int]:
    """The rank that gives each tensor."""
    given = ranks.collect(names)
    return ranks.share({name: rank for rank, some in enumerate(given) for name in some})


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
