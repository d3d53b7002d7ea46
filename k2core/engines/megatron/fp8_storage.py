"""Activations kept in FP8 from forward to backward: storage only, no product is in FP8.

K2 stores the inputs of the experts' up-projections and of SwiGLU as E4M3 in 1 x 128 tiles with
fp32 scales (arXiv:2507.20534, section 2.4.3).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from k2core.engines.megatron.offload import Kept, Offloader

TILE = 128
_LARGEST = 448.0
"""Of E4M3."""


class PackedTensor(NamedTuple):
    """A tensor [..., d] in a quarter of fp32's bytes, or half of bf16's, and 4 for each tile."""

    values: Tensor
    """[..., d] float8_e4m3fn."""
    scales: Tensor
    """[..., ceil(d / 128)] fp32."""
    dtype: torch.dtype
    """Of the tensor."""


def pack(x: Tensor) -> PackedTensor:
    """Round to E4M3, tile by tile: each tile's largest magnitude becomes 448.

    An element's relative error is at most 2^-4, down to 2^-14 of its tile's largest; what is
    smaller rounds to steps of 2^-9 / 448 of that (E4M3's subnormals).
    """
    width = x.size(-1)
    tiles = F.pad(x.float(), (0, -width % TILE)).unflatten(-1, (-1, TILE))
    scales = tiles.abs().amax(-1) / _LARGEST  # a tile of zeros has scale 0 and stays 0
    values = tiles / torch.where(scales > 0, scales, 1.0).unsqueeze(-1)
    flat = values.to(torch.float8_e4m3fn).flatten(-2)[..., :width].contiguous()
    return PackedTensor(flat, scales, x.dtype)


def unpack(packed: PackedTensor) -> Tensor:
    """The tensor again, rounded."""
    width = packed.values.size(-1)
    tiles = F.pad(packed.values.float(), (0, -width % TILE)).unflatten(-1, (-1, TILE))
    whole: Tensor = (tiles * packed.scales.unsqueeze(-1)).flatten(-2)[..., :width]
    return whole.to(packed.dtype)


def packing(on: bool, offloader: Offloader | None = None) -> AbstractContextManager[object]:
    """What autograd saves inside is kept packed; all of it must be activations, no weights.

    Of nested hooks autograd calls the innermost alone: these hand on to the offloader's.
    """
    if not on:
        return nullcontext()
    if offloader is None:
        return torch.autograd.graph.saved_tensors_hooks(pack, unpack)
    put, take = offloader.pack, offloader.unpack

    def pack_away(x: Tensor) -> tuple[Kept, Kept, torch.dtype]:
        small = pack(x)
        return put(small.values), put(small.scales), small.dtype

    def take_back(kept: tuple[Kept, Kept, torch.dtype]) -> Tensor:
        return unpack(PackedTensor(take(kept[0]), take(kept[1]), kept[2]))

    return torch.autograd.graph.saved_tensors_hooks(pack_away, take_back)
