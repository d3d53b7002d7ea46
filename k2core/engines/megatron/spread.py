"""A model's tensors, by Hugging Face names, where they are: over all ranks, in any layout.

Each tensor is given by one rank, so that who sends or writes weights has its own share alone:
replicas take turns, and so do the ranks that hold slices, of which one makes the tensor whole.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from k2core.engines.megatron.shards import TensorShard, list_shards
from k2core.engines.torchrun.group import Ranks
from k2core.model.digest import NamedTensor, served_dtype
from k2core.model.names import NamePair, pair_names, split_tensor
from k2core.model.tensors import tensor_shapes
from schemas.model import ModelShape

if TYPE_CHECKING:
    from megatron.core.models.gpt import GPTModel


class Part(NamedTuple):
    """What this rank holds of a Hugging Face tensor: all of it, or a slice along an axis."""

    name: str
    tensor: Tensor
    """A view of the parameter."""
    axis: int | None


class HeldShard(NamedTuple):
    """A tensor of this rank, and what it is in the Hugging Face layout."""

    shard: TensorShard
    parts: list[Part]


def held_shards(model: "GPTModel", shape: ModelShape) -> list[HeldShard]:
    """All of this rank, in the model's order."""
    shards = list_shards(model)
    return [
        HeldShard(shards[pair.megatron], list(_parts(shards[pair.megatron], pair)))
        for pair in pair_names(shape)
        if pair.megatron in shards
    ]


def _parts(shard: TensorShard, pair: NamePair) -> Iterator[Part]:
    """Of a rank's experts each is a tensor of its own; gate and up are each split for itself."""
    names = pair.hf
    if shard.expert:
        size = parallel_state.get_expert_model_parallel_world_size()
        rank = parallel_state.get_expert_model_parallel_rank()
        names = names[rank * len(names) // size : (rank + 1) * len(names) // size]
    for name, tensor in split_tensor(shard.tensor.detach(), names).items():
        yield Part(name, tensor, shard.axis)


class _Turn(NamedTuple):
    """A part that this rank gives, alone or with its tensor-parallel group."""

    tensor: Tensor
    axis: int | None
    maker: int
    """Of its tensor-parallel group, who has all of it in the end."""
    whole_here: bool
    """That is this rank."""


class SpreadWeights:
    """A model's weights over its ranks, in the parameters' precision; all ranks build it together.

    What is given out are views that last until the next is asked for, in the order of `shapes`.
    All ranks call the same method, and each goes through to its end.
    """

    def __init__(self, model: "GPTModel", shape: ModelShape, ranks: Ranks) -> None:
        self.shapes = tensor_shapes(shape)
        self.group = ranks
        """Who write a checkpoint together."""
        self.ranks = ranks.patient()
        """The same, who wait for engines, however long these take."""
        first = next(model.parameters())
        self._dtype, self._device = first.dtype, first.device
        held = held_shards(model, shape)
        self._turns = _list_turns(held)
        self._all_here = {part.name: part.tensor for one in held for part in one.parts}
        is_whole = self._all_here.keys() == self.shapes.keys() and all(
            part.axis is None or parallel_state.get_tensor_model_parallel_world_size() == 1
            for one in held
            for part in one.parts
        )
        if not ranks.share(is_whole):
            self._all_here = {}
        given = ranks.collect([name for name, turn in self._turns.items() if turn.whole_here])
        owners = {name: rank for rank, some in enumerate(given) for name in some}
        self.owners: dict[str, int] = ranks.share(owners)
        """The rank that gives each tensor."""

    def own(self) -> Iterator[NamedTensor]:
        """What this rank gives, each tensor whole; bounded by one tensor beside its parameters."""
        for name in self.shapes:
            if name in self._turns:
                whole = self._make_whole(name)
                if self._turns[name].whole_here:
                    yield name, whole

    def to(self, receiver: Callable[[str], int]) -> Iterator[NamedTensor]:
        """What this rank is to have, each tensor sent by its owner.

        Args:
            receiver: which rank has a tensor.
        """
        rank = self.ranks.rank
        for name in self.shapes:
            owner, to = self.owners[name], receiver(name)
            whole = self._make_whole(name) if name in self._turns else torch.empty(0)
            if owner == to == rank:
                yield name, whole
            elif owner == rank:
                dist.send(whole.contiguous(), to)
            elif to == rank:
                dist.recv(whole := self._room_for(name), owner)
                yield name, whole

    def everywhere(self) -> Iterator[NamedTensor]:
        """All tensors on every rank; where each holds the whole model, none travels."""
        self.ranks.wait()
        for name in self.shapes:
            if self._all_here:
                yield name, self._all_here[name]
                continue
            whole = self._make_whole(name) if name in self._turns else torch.empty(0)
            is_owner = self.owners[name] == self.ranks.rank
            whole = whole.contiguous() if is_owner else self._room_for(name)
            dist.broadcast(whole, self.owners[name])
            yield name, whole

    def _make_whole(self, name: str) -> Tensor:
        turn = self._turns[name]
        return turn.tensor if turn.axis is None else _gather(turn.tensor, turn.axis, turn.maker)

    def _room_for(self, name: str) -> Tensor:
        kind = served_dtype(name, self._dtype)
        return torch.empty(self.shapes[name], dtype=kind, device=self._device)


def _list_turns(held: list[HeldShard]) -> dict[str, _Turn]:
    """Parts that it is this rank's, or its tensor-parallel group's, to give."""
    dense = parallel_state.get_data_parallel_group(with_context_parallel=True)
    experts = parallel_state.get_expert_data_parallel_group()
    tensor = parallel_state.get_tensor_model_parallel_group()
    found: dict[str, _Turn] = {}
    for number, (shard, parts) in enumerate(held):
        replicas = experts if shard.expert else dense
        count = dist.get_world_size(replicas)
        if number % count != dist.get_rank(replicas):
            continue
        maker = number // count % dist.get_world_size(tensor)
        whole_here = shard.expert or maker == dist.get_rank(tensor)
        found |= {name: _Turn(part, axis, maker, whole_here) for name, part, axis in parts}
    return found


def _gather(part: Tensor, axis: int, maker: int) -> Tensor:
    """The whole tensor on one rank of the tensor-parallel group; on the others their part."""
    group = parallel_state.get_tensor_model_parallel_group()
    if dist.get_world_size(group) == 1:
        return part
    part = part.contiguous()
    if dist.get_rank(group) != maker:
        dist.gather(part, group_dst=maker, group=group)
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size(group))]
    dist.gather(part, parts, group_dst=maker, group=group)
    return torch.cat(parts, axis)
