"""The identity of a set of weights: the receipt that a server gives for what it serves.

Each tensor has a fingerprint, computed on the device where the tensor is, a piece at a time: no
weight is copied to be hashed, and whoever holds one tensor after another can give a receipt. It
finds what goes wrong on the way, and is no defence against somebody who wants it not to.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NamedTensor = tuple[str, "Tensor"]
"""A tensor by its Hugging Face name."""
_PIECE, _PIECE_ON_CPU = 1 << 22, 1 << 15
"""Words at a time; on a CPU as many as its cache holds while they are mixed."""
_STEP, _FIRST, _SECOND = (
    value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""Of SplitMix64 (Steele et al., 2014), as signed integers."""


def fingerprint(tensor: "Tensor") -> int:
    """64 bits of a tensor's bytes and their places: the sum of each word, mixed with its place.

    A sum of integers modulo 2^64 is the same in any order, hence on any device.
    """
    import torch

    flat = tensor.detach().contiguous().flatten().view(torch.uint8)
    if rest := len(flat) % 8:
        flat = torch.cat([flat, flat.new_zeros(8 - rest)])
    elif flat.storage_offset() % 8:
        flat = flat.clone()
    words = flat.view(torch.int64)
    size = min(len(words), _PIECE_ON_CPU if flat.device.type == "cpu" else _PIECE)
    places, total = _mixed_places(flat.device, size), 0
    for first in range(0, len(words), max(1, size)):
        part = words[first : first + size]
        mixed = places[: len(part)] + part
        if first:
            mixed.add_(_signed(first * _STEP))
        mixed.bitwise_xor_(mixed >> 30).mul_(_FIRST)
        mixed.bitwise_xor_(mixed >> 27).mul_(_SECOND)
        total += int(mixed.bitwise_xor_(mixed >> 31).sum())
    return total % (1 << 64)


_places: "dict[torch.device, Tensor]" = {}


def _mixed_places(device: "torch.device", size: int) -> "Tensor":
    """The first places of a tensor, each times `_STEP`; kept, since all tensors begin with them."""
    import torch

    if device not in _places or len(_places[device]) < size:
        _places[device] = torch.arange(1, size + 1, device=device).mul_(_STEP)
    return _places[device][:size]


def _signed(value: int) -> int:
    """Modulo 2^64, as a signed integer."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


class Receipt:
    """Fingerprints of tensors as they pass."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def note(self, named: Iterable[NamedTensor]) -> Iterator[NamedTensor]:
        """The same tensors; each is noted before it is handed on."""
        for name, tensor in named:
            found = fingerprint(tensor)
            self._lines[name] = f"{name} {tensor.dtype} {list(tensor.shape)} {found:016x}\n"
            yield name, tensor

    @classmethod
    def join(cls, parts: "Iterable[Receipt]") -> "Receipt":
        """For what several gave together.

        Raises:
            ValueError: two gave the same tensor.
        """
        whole = cls()
        for part in parts:
            if twice := whole._lines.keys() & part._lines.keys():
                raise ValueError(f"{min(twice)} was given twice")
            whole._lines.update(part._lines)
        return whole

    def lacking(self, wanted: Iterable[str]) -> list[str]:
        """Those of these tensors that were not noted."""
        return [name for name in wanted if name not in self._lines]

    def differing(self, other: "Receipt") -> list[str]:
        """Tensors that one has and the other has not, or has otherwise."""
        lines = self._lines.items() ^ other._lines.items()
        return sorted({name for name, _ in lines})

    @property
    def digest(self) -> str:
        """SHA-256, with its `sha256:` prefix, over sorted names, dtypes, shapes, fingerprints."""
        text = "".join(self._lines[name] for name in sorted(self._lines))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def tensors_digest(weights: Mapping[str, "Tensor"]) -> str:
    """The receipt for these weights."""
    receipt = Receipt()
    for _ in receipt.note(weights.items()):
        pass
    return receipt.digest


def checkpoint_digest(folder: Path, dtype: "torch.dtype | None" = None) -> str:
    """The receipt for a checkpoint's weights, as they are or as served; one is held at a time."""
    from k2core.model.shards import CheckpointReader

    receipt, reader = Receipt(), CheckpointReader(folder)
    named: Iterator[NamedTensor] = ((name, reader.read(name)) for name in reader.shapes)
    for _ in receipt.note(as_served(named, dtype) if dtype else named):
        pass
    return receipt.digest


def as_served(named: Iterable[NamedTensor], dtype: "torch.dtype") -> Iterator[NamedTensor]:
    """Weights as an engine of this arithmetic takes them."""
    for name, tensor in named:
        yield name, tensor.to(served_dtype(name, dtype))


def served_dtype(name: str, dtype: "torch.dtype") -> "torch.dtype":
    """What a tensor is sent in to an engine of this arithmetic.

    The router's balancing bias stays fp32, as in the model: steps of 1e-3 are lost in bf16.
    """
    import torch

    return torch.float32 if name.endswith("e_score_correction_bias") else dtype
