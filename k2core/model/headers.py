"""Single tensors of safetensors files, without mapping whole files into memory.

Memory is that of the tensor, or of a slice of it, whatever the file's size; nothing of a file is
believed that its size contradicts.
"""

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

_MOST_HEADER = 100_000_000
"""Bytes; the format's own limit."""
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
}
"""Types that hold weights -> torch's name."""
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}


class HeaderError(ValueError):
    """A file that is no safetensors, or is cut off; names it."""


class Slot(NamedTuple):
    """Where a tensor lies."""

    path: Path
    kind: str
    """As the format spells it, e.g. `BF16`."""
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""

    @property
    def is_float(self) -> bool:
        """Whether it can be read as numbers here."""
        return self.kind in _TYPES


def read_header(path: Path) -> dict[str, Slot]:
    """Every tensor of a file by name.

    Raises:
        HeaderError: the file is broken; says how.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _MOST_HEADER):
            raise HeaderError(
                f"{path}: its header is said to be {length} bytes and the file has {size}: it is "
                "no safetensors, or is cut off"
            )
        text = stream.read(length)
    try:
        facts = json.loads(text)
        slots = {
            str(name): _slot(path, about, 8 + length)
            for name, about in facts.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HeaderError(f"{path}: its header is broken ({str(error)[:100]})") from None
    for name, slot in slots.items():
        stop = slot.start + (prod(slot.shape) * _WIDTHS[slot.kind] if slot.is_float else 0)
        if slot.start < 8 + length or stop > size:
            raise HeaderError(
                f"{path}: {name} is to end at byte {stop}, and the file has {size}: it is cut off, "
                "load it again"
            )
    return slots


def _slot(path: Path, about: dict[str, object], offset: int) -> Slot:
    shape, ends = about["shape"], about["data_offsets"]
    if not isinstance(shape, list) or not isinstance(ends, list) or len(ends) != 2:
        raise TypeError("no shape and data_offsets")
    sizes, (start, stop) = tuple(int(n) for n in shape), (int(n) for n in ends)
    kind = str(about["dtype"])
    if min(sizes, default=0) < 0 or (
        kind in _WIDTHS and stop - start != prod(sizes) * _WIDTHS[kind]
    ):
        raise ValueError(f"{list(sizes)} of {kind} in {stop - start} bytes")
    return Slot(path, kind, sizes, offset + start)


def read_slot(slot: Slot, place: int | None = None) -> "Tensor":
    """A tensor as it is stored, or the one at `place` of its first axis.

    Raises:
        HeaderError: the file ended before the tensor did.
    """
    import torch

    shape = slot.shape if place is None else slot.shape[1:]
    size = prod(shape) * _WIDTHS[slot.kind]
    raw = bytearray(size)
    with slot.path.open("rb") as stream:
        stream.seek(slot.start + (place or 0) * size)
        if stream.readinto(raw) != size:
            raise HeaderError(f"{slot.path}: it was cut off while it was read")
    dtype = getattr(torch, _TYPES[slot.kind])
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(raw, dtype=dtype).view(shape)
