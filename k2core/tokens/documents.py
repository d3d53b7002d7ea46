"""The names of a dataset's documents, in a table beside it: read where asked."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import polars as pl

_TOGETHER = 1 << 16
"""Rows that are read, and written, at a time."""


class DocumentIds:
    """Row -> id of a table that stays on disk, and back.

    Args:
        table: with the ids, in the dataset's order.
        column: that holds them.
    """

    def __init__(self, table: pl.LazyFrame, column: str = "doc_id") -> None:
        self._ids = table.select(pl.col(column).alias("doc_id"))
        self._group = lru_cache(maxsize=8)(self._read_group)

    @classmethod
    def of(cls, ids: Sequence[str] | pl.Series) -> "DocumentIds":
        """Of ids at hand."""
        return cls(pl.LazyFrame({"doc_id": ids}, schema={"doc_id": pl.String}))

    def __len__(self) -> int:
        return int(self._ids.select(pl.len()).collect().item())

    def __getitem__(self, row: int) -> str:
        """The id of a row."""
        group, place = divmod(row, _TOGETHER)
        return str(self._group(group)[place])

    def rows_of(self, doc_id: str) -> list[int]:
        """All rows of a document, in order: one that is wanted more often stands repeatedly."""
        found = self._ids.with_row_index("row").filter(doc_id=doc_id).select("row")
        return [int(row) for row in found.collect()["row"]]

    def groups(self) -> Iterator[pl.Series]:
        """All ids, some at a time."""
        number = 0
        while len(ids := self._read_group(number)):
            yield ids
            number += 1

    def _read_group(self, number: int) -> pl.Series:
        return self._ids.slice(number * _TOGETHER, _TOGETHER).collect()["doc_id"]


def scan_ids(prefix: Path) -> DocumentIds:
    """Of `prefix.parquet`, beside `prefix.bin`."""
    return DocumentIds(pl.scan_parquet(prefix.with_suffix(".parquet")))


def write_ids(prefix: Path, ids: Iterable[str]) -> None:
    """Write `prefix.parquet`."""
    frame = pl.DataFrame({"doc_id": pl.Series(list(ids), dtype=pl.String)})
    frame.write_parquet(prefix.with_suffix(".parquet"), row_group_size=_TOGETHER)
