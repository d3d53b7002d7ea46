"""Context parallelism: ranks share sequences, each with two chunks of every row.

A rank has the chunk of its number and that of its number from the end: causal attention then costs
all ranks alike, and Megatron's rotary embeddings count so too.
"""

from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor


class RankChunk(NamedTuple):
    """Tokens `start` to `stop` of a row, which this rank holds from `place` on."""

    start: int
    stop: int
    place: int


def own_chunks(width: int) -> list[RankChunk]:
    """What this rank holds of rows of `width` tokens."""
    size, rank = _size(), parallel_state.get_context_parallel_rank()
    if size == 1:
        return [RankChunk(0, width, 0)]
    length = width // (2 * size)
    last = 2 * size - 1 - rank
    return [
        RankChunk(rank * length, (rank + 1) * length, 0),
        RankChunk(last * length, (last + 1) * length, length),
    ]


def take_own(whole: Tensor, axis: int) -> Tensor:
    """This rank's chunks along an axis."""
    if _size() == 1:
        return whole
    parts = [whole.narrow(axis, c.start, c.stop - c.start) for c in own_chunks(whole.size(axis))]
    return torch.cat(parts, axis)


def gather_whole(part: Tensor, axis: int) -> Tensor:
    """Whole rows from every rank's chunks along an axis, as plain values."""
    if _size() == 1:
        return part
    part = part.contiguous()
    parts = [torch.empty_like(part) for _ in range(_size())]
    dist.all_gather(parts, part, group=parallel_state.get_context_parallel_group())
    halves = [p.chunk(2, axis) for p in parts]
    ordered = [first for first, _ in halves] + [last for _, last in reversed(halves)]
    return torch.cat(ordered, axis)


def sum_own(whole: Tensor, axis: int) -> Tensor:
    """This rank's chunks of what all ranks' whole rows add up to: the gradient of a gather."""
    if _size() == 1:
        return whole
    dist.all_reduce(whole, group=parallel_state.get_context_parallel_group())
    return take_own(whole, axis)


class _Axis(Protocol):
    axis: int
    summed: bool


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Axis, part: Tensor, axis: int, summed: bool) -> Tensor:
        ctx.axis, ctx.summed = axis, summed
        return gather_whole(part, axis)

    @staticmethod
    def backward(ctx: _Axis, grad: Tensor) -> tuple[Tensor, None, None]:
        if ctx.summed:
            return sum_own(grad.clone(memory_format=torch.contiguous_format), ctx.axis), None, None
        return take_own(grad, ctx.axis), None, None


def gather_rows(part: Tensor, axis: int, *, summed: bool = False) -> Tensor:
    """Whole rows from every rank's chunks.

    Args:
        part: this rank's chunks along `axis`.
        axis: the sequence's.
        summed: each rank makes something else of the rows (keys, values), so that gradients add
            up; without it all make the same of them (the objective), and one's gradient is all.
    """
    if _size() == 1:
        return part
    found: Tensor = _Gather.apply(part, axis, summed)  # type: ignore[no-untyped-call]
    return found


def _size() -> int:
    return int(parallel_state.get_context_parallel_world_size())
