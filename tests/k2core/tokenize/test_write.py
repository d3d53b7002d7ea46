"""A domain in many parts: as many pieces of work, and the tokens of one part."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from k2core.pieces import made_file
from k2core.store import Store
from k2core.tokenize import write
from k2core.tokens import TokenStream, open_indexed, read_manifest
from schemas.tokenize import TokenPart
from tests.k2core.tokenize.test_tokenize import PART_BYTES, run, run_in_parts
from tests.k2core.tokens.token_corpus import megatrons_own


def parts_of(folder: Path) -> dict[str, tuple[TokenPart, ...]]:
    domains = read_manifest(folder).domains.items()
    return {f"train/{name}": about.train_parts for name, about in domains} | {
        f"heldout/{name}": about.heldout_parts for name, about in domains
    }


def test_parts_hold_the_tokens_of_one_part(tmp_path: Path) -> None:
    whole, parted = (make(Store(tmp_path / make.__name__)).folder for make in (run, run_in_parts))
    assert {len(parts) for parts in parts_of(whole).values()} == {1}
    few = parts_of(parted)
    assert len(few["train/knowledge"]) > 5
    assert len(few["heldout/knowledge"]) > 1
    for shard, parts in few.items():
        assert [part.name for part in parts] == [f"{shard}/{n:06d}" for n in range(len(parts))]
        files = [parted / f"{part.name}.bin" for part in parts]
        tokens = b"".join(path.read_bytes() for path in files)
        assert tokens == (whole / shard / "000000.bin").read_bytes()
        ids = pl.read_parquet([path.with_suffix(".parquet") for path in files])
        assert ids.equals(pl.read_parquet(whole / shard / "000000.parquet"))
        for part in parts:
            size = sum((parted / f"{part.name}.{s}").stat().st_size for s in ("bin", "idx"))
            assert size <= PART_BYTES + 42  # the header, and one more end than documents
    one, other = TokenStream(whole, 0, 32), TokenStream(parted, 0, 32)
    assert one.num_samples == other.num_samples > 300
    for index in range(one.num_samples):
        np.testing.assert_array_equal(one.sample(index).tokens, other.sample(index).tokens)
        assert one.trace(index) == other.trace(index)


def test_each_part_is_a_dataset_of_its_own(tmp_path: Path) -> None:
    folder = run_in_parts(Store(tmp_path)).folder
    for part in parts_of(folder)["train/knowledge"]:
        upstream = megatrons_own().IndexedDataset(str(folder / part.name))
        ours = open_indexed(folder / part.name)
        assert len(upstream) == part.num_documents
        for row in range(part.num_documents):
            np.testing.assert_array_equal(ours.read(row), upstream[row])


def test_a_piece_reads_the_shards_that_hold_some_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[write._Told]()
    work = write._write_parts

    def watch(files: Sequence[Path], piece: write._Told, folder: Path) -> None:
        told.append(piece)
        work(files, piece, folder)

    monkeypatch.setattr(write, "_write_parts", watch)
    run_in_parts(Store(tmp_path))
    assert len(told) > 10
    pieces = [piece for piece in told if "math" in str(piece.parts)]
    assert {len(piece.slices) for piece in pieces} == {1, 2}
    slices = [each for piece in pieces for each in piece.slices]
    assert slices == sorted(slices, key=lambda each: (each.tokens.path, each.first))


def test_a_document_larger_than_a_part_is_alone() -> None:
    lengths, file = [10, write.PART_BYTES, 10, 10], made_file(Path("shard"))
    for shards in ([lengths], [lengths[:1], lengths[1:]], [[each] for each in lengths]):
        cutter = write.DomainCutter("web", 300)
        for shard in shards:
            rows = pl.DataFrame({"num_tokens": shard, "split": "train"}).with_row_index("row")
            cutter.add(rows, file, file)
        assert len(cutter.close()) == 3
        sizes = [(part.num_documents, part.num_tokens) for part in cutter.parts["train"]]
        assert sizes == [(1, 10), (1, write.PART_BYTES), (2, 20)]
    assert write.DomainCutter("web", 300).close() == []
