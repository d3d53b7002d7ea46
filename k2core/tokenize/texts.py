"""The texts to tokenize: clean documents, then their rewrites."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandera.polars as pa
import polars as pl

from k2core.tables import list_shards, read_shard
from schemas.corpus import Document, Rewrite


class Shard(NamedTuple):
    """A parquet file of documents or of rewrites."""

    path: Path
    model: type[pa.DataFrameModel]


def find_shards(clean: Path, rephrased: Path) -> list[Shard]:
    """All shards in order; a rephrased corpus may be empty, a clean one may not."""
    rewrites = sorted((rephrased / "kept").glob("*.parquet"))
    return [
        *(Shard(path, Document) for path in list_shards(clean / "kept")),
        *(Shard(path, Rewrite) for path in rewrites),
    ]


def read_documents(shard: Shard) -> pl.DataFrame:
    """`doc_id`, `parent_id` (its own for a document), `domain` and `text`."""
    frame = read_shard(shard.path, shard.model)
    parent = "parent_id" if "parent_id" in frame.columns else "doc_id"
    return frame.select("doc_id", pl.col(parent).alias("parent_id"), "domain", "text")


def read_texts(shards: Sequence[Shard]) -> Iterator[list[str]]:
    """The texts, shard by shard."""
    for shard in shards:
        yield read_documents(shard)["text"].to_list()
