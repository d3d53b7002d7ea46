"""Work on files by Ray's processes: in order, errors as they are, deaths survived."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from k2core.engines.ray.spread import spread_files

pytestmark = pytest.mark.slow


def double(died: Path, source: Path, folder: Path) -> None:
    """Text written twice; the process of the third file dies at first."""
    text = source.read_text()
    if text == "2" and not died.exists():
        died.touch()
        os._exit(1)
    if text == "bad":
        raise ValueError(f"{source.name} is bad")
    (folder / "deep").mkdir()
    (folder / "deep" / source.name).write_text(2 * text)
    (folder / "length").write_text(str(len(text)))


def write_files(folder: Path, texts: Sequence[str]) -> list[Path]:
    paths = [folder / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_results_come_in_order_whatever_dies(tmp_path: Path) -> None:
    paths = write_files(tmp_path, ["0", "1", "2", "33", "4"])
    found = list(spread_files(functools.partial(double, tmp_path / "died"), paths, 2))
    assert (tmp_path / "died").exists()
    assert [files[f"deep/{n}.txt"] for n, files in enumerate(found)] == [
        b"00", b"11", b"22", b"3333", b"44",
    ]  # fmt: skip
    assert [files["length"] for files in found] == [b"1", b"1", b"1", b"2", b"1"]


def test_an_error_arrives_as_it_was_raised(tmp_path: Path) -> None:
    paths = write_files(tmp_path, ["0", "bad"])
    spread = spread_files(functools.partial(double, tmp_path / "died"), paths, 2)
    assert next(spread)["length"] == b"1"
    with pytest.raises(ValueError, match=r"1\.txt is bad"):
        next(spread)
