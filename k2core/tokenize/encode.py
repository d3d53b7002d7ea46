"""Encode the corpora shard by shard into the scratch folder; a killed run goes on there."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from k2core.store import Workspace
from k2core.tokenize.texts import Shard, read_documents, read_weights
from k2core.tokenize.vocabulary import end_of_document


class Encoded(NamedTuple):
    """Encoded shards, and what is known of each document without its tokens."""

    paths: list[Path]
    documents: pl.DataFrame
    """`doc_id`, `parent_id`, `domain`, `num_tokens`, `num_bytes`, `weight`, in corpus order."""

    def read(self, doc_ids: Sequence[str]) -> Iterator[NDArray[np.int64]]:
        """Tokens of some documents, in corpus order, as often as each is named.

        One shard is in memory at a time.
        """
        copies = Counter(doc_ids)
        for path in self.paths:
            frame = pl.read_parquet(path, columns=["doc_id", "tokens"])
            for doc_id, tokens in frame.iter_rows():
                for _ in range(copies[doc_id]):
                    yield np.asarray(tokens, dtype=np.int64)


def encode_shards(tokenizer: Tokenizer, shards: Sequence[Shard], workspace: Workspace) -> Encoded:
    """Encode every document, with the end token after it."""
    paths, tables = [], []
    end = end_of_document(tokenizer)
    for number, shard in enumerate(shards):
        path = workspace.scratch / "encoded" / f"{number:05d}.parquet"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            aside = path.with_suffix(".aside")
            _encode(tokenizer, end, read_documents(shard)).write_parquet(aside)
            aside.rename(path)
        paths.append(path)
        weights = read_weights(shard)
        weight = pl.col("doc_id").replace_strict(weights, default=1.0, return_dtype=pl.Float64)
        table = pl.scan_parquet(path).drop("tokens").collect()
        tables.append(table.with_columns((weight if weights else pl.lit(1.0)).alias("weight")))
        workspace.report.progress(number + 1, len(shards), f"shard {number + 1}")
    return Encoded(paths, pl.concat(tables))


def _encode(tokenizer: Tokenizer, end: int, frame: pl.DataFrame) -> pl.DataFrame:
    encodings = tokenizer.encode_batch_fast(frame["text"].to_list(), add_special_tokens=False)
    tokens = [[*encoding.ids, end] for encoding in encodings]
    return frame.select(
        "doc_id",
        "parent_id",
        "domain",
        pl.Series("num_tokens", [len(ids) for ids in tokens], pl.Int64),
        pl.col("text").str.len_bytes().cast(pl.Int64).alias("num_bytes"),
        pl.Series("tokens", tokens, pl.List(pl.UInt32)),
    )
