from pathlib import Path

import polars as pl
import pytest

from k2core.tables import TableError, list_shards, read_shard, write_shard
from schemas.corpus import Document
from tests.k2core.clean.corpora import document


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [document(name, f"text of {name}") for name in "abc"]
    write_shard(tmp_path / "sub" / "00000.parquet", Document, rows)
    assert read_shard(tmp_path / "sub" / "00000.parquet", Document).to_dicts() == rows
    assert [path.name for path in list_shards(tmp_path / "sub")] == ["00000.parquet"]
    assert not list(tmp_path.rglob("*.aside"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": "Poe try"}, "Poe try.*domain"),
        ({"format": None}, "format"),
        ({"stranger": "x"}, "stranger"),
        ({"doc_id": document("b", "")["doc_id"]}, "doc_id"),
    ],
)
def test_rows_that_break_the_model_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    rows = [{**document("a", "x"), **change}, {**dict.fromkeys(change), **document("b", "y")}]
    path = tmp_path / "00000.parquet"
    with pytest.raises(TableError, match=f"00000.parquet breaks Document: .*{message}"):
        write_shard(path, Document, rows)
    assert not path.exists()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    with pytest.raises(TableError, match=f"00000.parquet breaks Document: .*{message}"):
        read_shard(path, Document)


def test_a_lacking_column_or_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=f"{tmp_path} holds no parquet shards"):
        list_shards(tmp_path)
    path = tmp_path / "00000.parquet"
    pl.DataFrame([document("a", "x")]).drop("license").write_parquet(path)
    with pytest.raises(TableError, match=r"breaks Document: .*license"):
        read_shard(path, Document)
    with pytest.raises(TableError, match=r"absent\.parquet is no readable parquet file"):
        read_shard(tmp_path / "absent.parquet", Document)


def test_columns_in_another_order_are_held_to_the_same(tmp_path: Path) -> None:
    path = tmp_path / "00000.parquet"
    turned = dict(reversed(document("a", "x").items()))
    write_shard(path, Document, [turned])
    assert read_shard(path, Document).columns == list(turned)
    with pytest.raises(TableError, match=r"breaks Document: .*Poe try"):
        write_shard(path, Document, [{**turned, "domain": "Poe try"}])
