"""The names of a dataset's documents, in tables beside it: read where asked."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import polars as pl

_TOGETHER = 1 << 16
"""Rows that are read, and written, at a time."""


class DocumentIds:
    """Row -> id of tables that stay on disk, end to end, and back.

    Args:
        tables: with the ids, in the dataset's order; of a file nothing is read before it is needed.
        column: that holds them.
        counts: rows of each table, where they are known.
    """

    def __init__(
        self,
        tables: Sequence[pl.LazyFrame | Path],
        column: str = "doc_id",
        counts: Sequence[int] | None = None,
    ) -> None:
        self._tables, self._column, self._counts = tables, column, counts
        self._group = lru_cache(maxsize=8)(self._read_group)

    @classmethod
    def of(cls, ids: Sequence[str] | pl.Series) -> "DocumentIds":
        """Of ids at hand."""
        return cls([pl.LazyFrame({"doc_id": ids}, schema={"doc_id": pl.String})])

    def __len__(self) -> int:
        return self._firsts[-1]

    def __getitem__(self, row: int) -> str:
        """The id of a row."""
        group, place = divmod(row, _TOGETHER)
        return str(self._group(group)[place])

    def rows_of(self, doc_id: str) -> list[int]:
        """All rows of a document, in order: one that is wanted more often stands repeatedly."""
        rows = list[int]()
        for number in range(len(self._tables)):
            numbered = self._table(number).with_row_index("row", self._firsts[number])
            rows += numbered.filter(doc_id=doc_id).select("row").collect()["row"].to_list()
        return rows

    def groups(self) -> Iterator[pl.Series]:
        """All ids, some at a time: as many, wherever tables end."""
        for number in range(-(-len(self) // _TOGETHER)):
            yield self._read_group(number)

    @cached_property
    def _firsts(self) -> list[int]:
        """The first row of each table, and the number of all."""
        counts = self._counts
        if counts is None:
            tables = map(self._table, range(len(self._tables)))
            counts = [int(table.select(pl.len()).collect().item()) for table in tables]
        return [0, *accumulate(counts)]

    def _table(self, number: int) -> pl.LazyFrame:
        table = self._tables[number]
        table = pl.scan_parquet(table) if isinstance(table, Path) else table
        return table.select(pl.col(self._column).alias("doc_id"))

    def _read_group(self, number: int) -> pl.Series:
        start, stop = number * _TOGETHER, min((number + 1) * _TOGETHER, len(self))
        found = [pl.Series("doc_id", [], pl.String)]
        while start < stop:
            table = bisect_right(self._firsts, start) - 1
            end = min(stop, self._firsts[table + 1])
            part = self._table(table).slice(start - self._firsts[table], end - start)
            found.append(part.collect()["doc_id"])
            if len(found[-1]) < end - start:
                raise ValueError(f"{self._tables[table]} has too few rows: its dataset has more")
            start = end
        return pl.concat(found)


def scan_ids(prefixes: Sequence[Path], counts: Sequence[int] | None = None) -> DocumentIds:
    """Of each `prefix.parquet`, beside `prefix.bin`.

    Args:
        prefixes: in order.
        counts: documents of each, where they are known: then none is opened before it is asked for.
    """
    return DocumentIds([prefix.with_suffix(".parquet") for prefix in prefixes], counts=counts)


def write_ids(prefix: Path, ids: Iterable[str]) -> None:
    """Write `prefix.parquet`."""
    frame = pl.DataFrame({"doc_id": pl.Series(list(ids), dtype=pl.String)})
    frame.write_parquet(prefix.with_suffix(".parquet"), row_group_size=_TOGETHER)
