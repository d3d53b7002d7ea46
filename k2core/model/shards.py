"""Weights too large for one process: written and read shard by shard, as the Hub lays them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "model.safetensors.index.json"


class NamedTensor(NamedTuple):
    """A tensor and its Hugging Face name."""

    name: str
    tensor: "Tensor"


def write_shards(folder: Path, tensors: Iterable[NamedTensor], max_bytes: int) -> None:
    """Write a stream of tensors as safetensors of at most `max_bytes` each, and their index.

    No more than one shard's tensors are held at a time; the index comes last, so that a folder
    without one is not a checkpoint. A tensor larger than `max_bytes` has a shard of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asides: list[Path] = []
    places: dict[str, int] = {}
    held: dict[str, Tensor] = {}
    size = total = 0
    for name, tensor in tensors:
        if name in places or name in held:
            raise ValueError(f"{name} comes twice: each tensor has one place")
        if held and size + tensor.nbytes > max_bytes:
            _write(folder, held, asides, places)
            size = 0
        held[name] = tensor.detach().cpu().contiguous()
        size, total = size + tensor.nbytes, total + tensor.nbytes
        del tensor
    if held:
        _write(folder, held, asides, places)
    names = [f"model-{i + 1:05d}-of-{len(asides):05d}.safetensors" for i in range(len(asides))]
    for aside, shard in zip(asides, names, strict=True):
        aside.rename(folder / shard)
    weight_map = {name: names[place] for name, place in sorted(places.items())}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    aside = folder / f"{INDEX}.aside"
    aside.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    aside.rename(folder / INDEX)


def read_shards(folder: Path) -> Iterator[NamedTensor]:
    """Every tensor in turn, each read when it is asked for.

    Raises:
        FileNotFoundError: the folder has no index: its writing did not end.
    """
    from safetensors import safe_open

    path = folder / INDEX
    if not path.exists():
        raise FileNotFoundError(f"{folder} has no {INDEX}: it is not a whole sharded checkpoint")
    weight_map = json.loads(path.read_text())["weight_map"]
    for shard in sorted(set(weight_map.values())):
        with safe_open(folder / shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield NamedTensor(name, file.get_tensor(name))


def _write(
    folder: Path, held: "dict[str, Tensor]", asides: list[Path], places: dict[str, int]
) -> None:
    from safetensors.torch import save_file

    aside = folder / f"shard-{len(asides):05d}.aside"
    save_file(held, aside, metadata={"format": "pt"})
    places.update(dict.fromkeys(held, len(asides)))
    asides.append(aside)
    held.clear()
