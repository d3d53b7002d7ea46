"""What is sent in which order: a function of shapes and owners, known before any weight is.

Tensors are cut, in the model's order, into windows of so many bytes, and an owner's tensors of a
window are a bucket. So a worker holds little more than two windows, however many owners there are,
and layers become whole one after another.

Buckets come in the order of their last tensors. Ranks go through the model in its order, some of
them together where they gather a tensor's slices: one that waits for its bucket to be taken is then
never waited for by the owner of one that is taken before.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from k2core.model.digest import NamedTensor, served_dtype
from k2core.model.tensors import TensorShape

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ALIGNED = 16
"""Bytes; what kernels read at a time at most."""


class WireBucket(NamedTuple):
    """Tensors of one owner, laid end to end in as many bytes."""

    owner: int
    """The trainer's rank."""
    names: list[str]
    dtypes: "list[torch.dtype]"
    shapes: list[TensorShape]

    @property
    def nbytes(self) -> int:
        """Of all, with what aligns them."""
        return sum(self._rooms)

    def views(self, data: "Tensor") -> Iterator[NamedTensor]:
        """Its tensors, in bytes [nbytes] of any device."""
        starts = accumulate(self._rooms, initial=0)
        for name, dtype, shape, start in zip(
            self.names, self.dtypes, self.shapes, starts, strict=False
        ):
            size = dtype.itemsize * _count(shape)
            yield name, data[start : start + size].view(dtype).view(shape)

    def __str__(self) -> str:
        more = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        return f"{self.names[0]}{more} of the trainer's rank {self.owner}"

    @property
    def _rooms(self) -> list[int]:
        sizes = (d.itemsize * _count(s) for d, s in zip(self.dtypes, self.shapes, strict=True))
        return [-(-size // _ALIGNED) * _ALIGNED for size in sizes]


def plan_buckets(
    shapes: Mapping[str, TensorShape],
    owners: Mapping[str, int],
    dtype: "torch.dtype",
    window_bytes: int,
) -> list[WireBucket]:
    """All buckets, in the order in which they are sent.

    Args:
        shapes: of all tensors, in the model's order.
        owners: the trainer's rank that gives each.
        dtype: the engines' arithmetic.
        window_bytes: most of a window, unless one tensor is larger.
    """
    found: list[WireBucket] = []
    window: dict[int, WireBucket] = {}
    size = 0
    for name, shape in shapes.items():
        kind = served_dtype(name, dtype)
        more = kind.itemsize * _count(shape)
        if size and size + more > window_bytes:
            found += window.values()
            window, size = {}, 0
        bucket = window.pop(owners[name], WireBucket(owners[name], [], [], []))
        bucket.names.append(name)
        bucket.dtypes.append(kind)
        bucket.shapes.append(shape)
        window[owners[name]] = bucket  # the last, for it has the last tensor
        size += more
    return [*found, *window.values()]


def _count(shape: TensorShape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
