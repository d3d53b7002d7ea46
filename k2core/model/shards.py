"""Weights too large for one process: files that many write, and that are read slice by slice.

Names and shapes decide where each tensor lies, before any is there. So the files can be dealt to
processes, which share no folder and hold a tensor at a time, and the bytes depend on no layout over
processes. Small checkpoints are one file, equal to what `safetensors.torch.save_file` writes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from k2core.model.tensors import TensorShape

if TYPE_CHECKING:
    from safetensors import safe_open
    from torch import Tensor

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
"""Weights of a file at most, as the Hub has them."""
Precision = Literal["fp32", "bf16"]
"""Of a checkpoint's weights; the router's biases are fp32 in either."""
_KINDS = {"fp32": "F32", "bf16": "BF16"}
_WIDTHS = {"F32": 4, "BF16": 2}


def _kind(name: str, precision: Precision) -> str:
    """As the format spells it."""
    return "F32" if name.endswith("e_score_correction_bias") else _KINDS[precision]


class TensorPlace(NamedTuple):
    """Where a tensor's bytes are."""

    file: str
    start: int
    size: int


class CheckpointWriter:
    """A checkpoint's weights, or of several writers' files those of one.

    Files have other names until they are whole, and the index comes last: `create`, then `write`
    each tensor, then `finish`; when all writers have, one of them calls `write_index`.

    Args:
        folder: where to; each writer may have a disk of its own.
        shapes: every tensor, in the model's order.
        max_bytes: of a file's tensors; a larger tensor has a file of its own.
        part: this writer.
        num_parts: all writers; files go to them in turn.
        precision: what weights are rounded to.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, TensorShape],
        max_bytes: int = SHARD_BYTES,
        part: int = 0,
        num_parts: int = 1,
        precision: Precision = "fp32",
    ) -> None:
        self.folder = folder
        self.num_bytes = 0
        """Written by this process."""
        self._shapes = dict(shapes)
        self._kinds = {name: _kind(name, precision) for name in shapes}
        sizes = {n: prod(shape) * _WIDTHS[self._kinds[n]] for n, shape in shapes.items()}
        self._files = dict(_deal(sizes, max_bytes))
        self._own = list(self._files)[part::num_parts]
        self._writers = {file: i % num_parts for i, file in enumerate(self._files)}
        self._headers = {
            file: _header({n: shapes[n] for n in names}, self._kinds, sizes)
            for file, names in self._files.items()
        }
        self._written: set[str] = set()
        self.places: dict[str, TensorPlace] = {}
        for file, names in self._files.items():
            start = len(self._headers[file])
            for name in sorted(names):
                self.places[name] = TensorPlace(file, start, sizes[name])
                start += self.places[name].size

    def writer_of(self, name: str) -> int:
        """Which part a tensor belongs to."""
        return self._writers[self.places[name].file]

    def create(self) -> None:
        """Headers of this writer's files, and holes for their tensors."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self._own:
            header, names = self._headers[file], self._files[file]
            with self._aside(file).open("wb") as out:
                out.write(header)
                out.truncate(len(header) + sum(self.places[name].size for name in names))

    def write(self, name: str, tensor: "Tensor") -> None:
        """One tensor to its place, in a file of this writer.

        Raises:
            ValueError: its shape is not the one that was announced.
        """
        import torch

        if tuple(tensor.shape) != self._shapes[name]:
            raise ValueError(f"{name} is {list(tensor.shape)}, not {list(self._shapes[name])}")
        place = self.places[name]
        dtype = torch.float32 if self._kinds[name] == "F32" else torch.bfloat16
        plain = tensor.detach().to("cpu", dtype).contiguous()
        with self._aside(place.file).open("r+b") as out:
            out.seek(place.start)
            out.write(plain.flatten().view(torch.uint8).numpy().data)
        self._written.add(name)
        self.num_bytes += place.size

    def finish(self) -> None:
        """Give this writer's files their names.

        Raises:
            ValueError: a tensor is missing; the checkpoint stays unfinished.
        """
        missing = [n for file in self._own for n in self._files[file] if n not in self._written]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ValueError(
                f"{', '.join(missing[:3])}{more} were not written to {self.folder}: it is no whole "
                "checkpoint"
            )
        for file in self._own:
            self._aside(file).rename(self.folder / file)

    def write_index(self) -> None:
        """Where each tensor is; with it several files are a checkpoint."""
        if len(self._files) == 1:
            return
        weight_map = {name: place.file for name, place in sorted(self.places.items())}
        total = sum(place.size for place in self.places.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        aside = self._aside(INDEX)
        aside.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
        aside.rename(self.folder / INDEX)

    def _aside(self, file: str) -> Path:
        return self.folder / f"{file}.aside"


class CheckpointReader:
    """A checkpoint's tensors, of which only what is asked for is read.

    Raises:
        FileNotFoundError: the folder holds no weights, or its writing did not end.
    """

    def __init__(self, folder: Path) -> None:
        self.num_bytes = 0
        """Read so far."""
        self.shapes: dict[str, TensorShape] = {}
        self._homes: dict[str, safe_open] = {}
        for file in _open_files(folder):
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                self._homes[name] = file
                self.shapes[name] = tuple(file.get_slice(name).get_shape())

    def read(self, name: str, starts: Sequence[int] = (), sizes: Sequence[int] = ()) -> "Tensor":
        """A tensor, or of each axis `sizes` elements from `starts` on."""
        if not sizes:
            found: Tensor = self._homes[name].get_tensor(name)
        else:
            window = tuple(slice(a, a + n) for a, n in zip(starts, sizes, strict=True))
            found = self._homes[name].get_slice(name)[window]
        self.num_bytes += found.nbytes
        return found


def list_weight_files(folder: Path) -> list[str]:
    """The files of a whole checkpoint.

    Raises:
        FileNotFoundError: the folder holds no weights, or its writing did not end.
    """
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if (folder / INDEX).exists():
        weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
        names = sorted(set(weight_map.values()))
    elif not names:
        raise FileNotFoundError(f"{folder} holds no *.safetensors: it is not a checkpoint")
    elif len(names) > 1:
        raise FileNotFoundError(f"{folder} has no {INDEX}: its writing did not end")
    return names


def _open_files(folder: Path) -> "Iterator[safe_open]":
    from safetensors import safe_open

    for name in list_weight_files(folder):
        yield safe_open(folder / name, framework="pt")


def _deal(sizes: Mapping[str, int], max_bytes: int) -> list[tuple[str, list[str]]]:
    """Files and their tensors: filled in turn."""
    parts: list[list[str]] = [[]]
    size = 0
    for name, width in sizes.items():
        if parts[-1] and size + width > max_bytes:
            parts.append([])
            size = 0
        parts[-1].append(name)
        size += width
    if len(parts) == 1:
        return [("model.safetensors", parts[0])]
    count = len(parts)
    return [(f"model-{i + 1:05d}-of-{count:05d}.safetensors", p) for i, p in enumerate(parts)]


def _header(
    shapes: Mapping[str, TensorShape], kinds: Mapping[str, str], sizes: Mapping[str, int]
) -> bytes:
    """What stands before the tensors: a length, and names, types, shapes and places as JSON."""
    facts: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in sorted(shapes.items()):
        stop = start + sizes[name]
        facts[name] = {"dtype": kinds[name], "shape": shape, "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(facts, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
