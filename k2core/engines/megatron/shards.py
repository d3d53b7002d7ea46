"""This rank's shards of whole tensors, in any layout."""

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from k2core.engines.megatron.matrices import is_expert, tensor_split
from schemas.model import ModelShape

if TYPE_CHECKING:
    from megatron.core.models.gpt import GPTModel

_SCALED = ("linear_proj.weight", "linear_fc2.weight", "experts.weight2")
"""What writes into the residual stream starts smaller by sqrt(2 layers), as Megatron does it."""


class TensorShard(NamedTuple):
    """A tensor of this rank and how the whole one is split."""

    name: str
    """Global: layers are counted over all pipeline stages."""
    tensor: Tensor
    axis: int | None
    """Split over tensor-parallel ranks; None is whole."""
    fused: bool
    """Gate over up: each half is split for itself."""
    expert: bool
    """A stack of this rank's experts, out of all along the first axis."""


def list_shards(model: "GPTModel") -> dict[str, TensorShard]:
    """All parameters and buffers of this rank that a checkpoint holds, by global name."""
    numbers = [layer.layer_number - 1 for layer in model.decoder.layers]
    found = {}
    parameters = dict(model.named_parameters())
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor):
            parts = name.split(".")
            if parts[:2] == ["decoder", "layers"]:
                parts[2] = str(numbers[int(parts[2])])
            whole = ".".join(parts)
            split = tensor_split(tensor) if name in parameters else None
            fused = whole.endswith("linear_fc1.weight")
            found[whole] = TensorShard(whole, tensor, split, fused, is_expert(whole))
    return found


def _size_and_rank(group: dist.ProcessGroup) -> tuple[int, int]:
    return dist.get_world_size(group), dist.get_rank(group)


def cut_shard(shard: TensorShard, whole: Tensor) -> Tensor:
    """This rank's part of a whole tensor."""
    if shard.expert:
        size, rank = _size_and_rank(parallel_state.get_expert_model_parallel_group())
        return whole.view(-1, *shard.tensor.shape[1:]).chunk(size)[rank]
    if shard.axis is None:
        return whole.view(shard.tensor.shape)
    size, rank = _size_and_rank(parallel_state.get_tensor_model_parallel_group())
    halves = whole.chunk(2 if shard.fused else 1)
    return torch.cat([half.chunk(size, shard.axis)[rank] for half in halves])


@torch.no_grad()
def draw_weights(model: "GPTModel", shape: ModelShape, seed: int) -> None:
    """Random initial weights that depend on the seed and each tensor's name, on no layout.

    N(0, init_std); N(0, init_std / sqrt(2 layers)) for what writes into the residual stream.
    Gains of norms start at 1, router biases at 0. A stack draws each expert for itself.
    """
    for shard in list_shards(model).values():
        if shard.tensor.dim() < 2 or shard.tensor.is_meta:
            continue
        std = shape.init_std
        if shard.name.endswith(_SCALED):
            std /= (2 * shape.num_layers) ** 0.5
        if shard.expert:
            size, rank = _size_and_rank(parallel_state.get_expert_model_parallel_group())
            first = rank * len(shard.tensor)
            for index, matrix in enumerate(shard.tensor):
                matrix.copy_(_draw(f"{shard.name}/{first + index}", matrix.shape, std, seed))
        else:
            size, _ = _size_and_rank(parallel_state.get_tensor_model_parallel_group())
            whole = list(shard.tensor.shape)
            if shard.axis is not None:
                whole[shard.axis] *= size
            shard.tensor.copy_(cut_shard(shard, _draw(shard.name, whole, std, seed)))


def _draw(name: str, shape: "list[int] | torch.Size", std: float, seed: int) -> Tensor:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.empty(shape).normal_(0.0, std, generator=generator)
