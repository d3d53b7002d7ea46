import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from k2core.model.shards import INDEX, NamedTensor, read_shards, write_shards

SIZE = 4 * 1024


def test_a_stream_is_written_and_read_with_one_shard_in_memory(tmp_path: Path) -> None:
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    most = 0

    def stream() -> Iterator[NamedTensor]:
        nonlocal most
        for index in range(20):
            tensor = torch.full((1024,), float(index))
            alive.add(tensor)
            most = max(most, len(alive))
            yield NamedTensor(f"t{index:02d}", tensor)
            del tensor

    write_shards(tmp_path, stream(), max_bytes=4 * SIZE)
    assert most <= 4 + 1
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 20 * SIZE
    assert len(set(index["weight_map"].values())) == 5
    found = {name: float(tensor[0]) for name, tensor in read_shards(tmp_path)}
    assert found == {f"t{i:02d}": float(i) for i in range(20)}
    assert not list(tmp_path.glob("*.aside"))


def test_a_killed_writing_is_no_checkpoint(tmp_path: Path) -> None:
    twice = [NamedTensor("a", torch.zeros(2)), NamedTensor("a", torch.zeros(2))]
    with pytest.raises(ValueError, match="a comes twice"):
        write_shards(tmp_path, iter(twice), max_bytes=8)
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors\.index\.json"):
        list(read_shards(tmp_path))
