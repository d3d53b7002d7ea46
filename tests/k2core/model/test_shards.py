import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from k2core.model.shards import INDEX, CheckpointReader, CheckpointWriter

SHAPES = {f"t{i:02d}.weight": (8, i + 1) for i in range(20)} | {"bias": (3,)}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(size, generator=generator) for name, size in SHAPES.items()}


def write(folder: Path, limit: int = 1_000_000, count: int = 1) -> None:
    """Each writer its own files, as ranks would."""
    writers = [CheckpointWriter(folder, SHAPES, limit, part, count) for part in range(count)]
    for writer in writers:
        writer.create()
    for name, tensor in tensors().items():
        writers[writers[0].writer_of(name)].write(name, tensor)
    for writer in writers:
        writer.finish()
    writers[0].write_index()
    assert not list(folder.glob("*.aside"))
    assert all(writer.num_bytes for writer in writers)


def test_one_file_is_what_safetensors_would_write(tmp_path: Path) -> None:
    write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    save_file(tensors(), tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_many_writers_fill_the_same_files(tmp_path: Path) -> None:
    limit = 1500
    for name, count in (("one", 1), ("three", 3)):
        write(tmp_path / name, limit, count)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files[-1] == INDEX
    assert len(files) > 4
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
    index = json.loads((tmp_path / "one" / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors().values())
    for file in files[:-1]:
        found = load_file(tmp_path / "one" / file)
        assert sum(tensor.nbytes for tensor in found.values()) <= limit
        assert {n for n, home in index["weight_map"].items() if home == file} == found.keys()
        assert all(torch.equal(tensor, tensors()[name]) for name, tensor in found.items())


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    write(tmp_path, 1000)
    reader = CheckpointReader(tmp_path)
    assert reader.shapes == SHAPES
    assert reader.num_bytes == 0
    name = "t09.weight"
    assert torch.equal(reader.read(name, (2, 5), (4, 3)), tensors()[name][2:6, 5:8])
    assert reader.num_bytes == 4 * 3 * 4
    assert torch.equal(reader.read("bias", (1,), (2,)), tensors()["bias"][1:])


def test_a_killed_writing_is_no_checkpoint_and_can_be_repeated(tmp_path: Path) -> None:
    killed = CheckpointWriter(tmp_path, SHAPES, max_bytes=1000)
    killed.create()
    killed.write("bias", tensors()["bias"])
    with pytest.raises(FileNotFoundError, match=r"holds no \*\.safetensors"):
        CheckpointReader(tmp_path)
    write(tmp_path, 1000)
    (tmp_path / INDEX).unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors\.index\.json: its writing"):
        CheckpointReader(tmp_path)


def test_a_tensor_that_lacks_or_does_not_fit_is_an_error(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, SHAPES)
    writer.create()
    with pytest.raises(ValueError, match=r"bias is \[4\], not \[3\]"):
        writer.write("bias", torch.zeros(4))
    writer.write("bias", torch.zeros(3))
    with pytest.raises(ValueError, match=r"t00.weight, .* and 17 more were not written to"):
        writer.finish()
