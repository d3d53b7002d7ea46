"""Weights as buckets of bytes, of which whoever sends holds one at a time."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from k2core.model.digest import NamedTensor

if TYPE_CHECKING:
    import numpy as np

BUCKET_BYTES = 256 * 2**20
"""Of tensors in a bucket, unless one tensor is larger."""
_ALIGNED = 8


def pack(
    named: Iterable[NamedTensor], max_bytes: int = BUCKET_BYTES
) -> Iterator[dict[str, object]]:
    """Buckets: names, dtypes and shapes, and the bytes one after another."""
    held: list[NamedTensor] = []
    size = 0
    for name, tensor in named:
        if held and size + tensor.nbytes > max_bytes:
            yield _join(held)
            held, size = [], 0
        held.append((name, tensor))
        size += tensor.nbytes
    if held:
        yield _join(held)


def _join(held: list[NamedTensor]) -> dict[str, object]:
    import numpy as np
    import torch

    data = np.zeros(sum(_room(tensor.nbytes) for _, tensor in held), dtype=np.uint8)
    start = 0
    for _, tensor in held:
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        data[start : start + len(flat)] = flat.numpy()
        start += _room(len(flat))
    return {
        "names": [name for name, _ in held],
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for _, tensor in held],
        "shapes": [list(tensor.shape) for _, tensor in held],
        "data": data,
    }


def unpack(
    names: list[str], dtype_names: list[str], shapes: list[list[int]], data: "np.ndarray"
) -> Iterator[NamedTensor]:
    """The tensors of a bucket, as views of its bytes."""
    import torch

    bytes_ = torch.frombuffer(data, dtype=torch.uint8) if len(data) else torch.empty(0)
    start = 0
    for name, dtype_name, shape in zip(names, dtype_names, shapes, strict=True):
        dtype = getattr(torch, dtype_name)
        size = dtype.itemsize * torch.Size(shape).numel()
        yield name, bytes_[start : start + size].view(dtype).view(shape)
        start += _room(size)


def _room(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
