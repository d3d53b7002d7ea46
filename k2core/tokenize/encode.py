"""Encode the corpora shard by shard into the scratch folder; a killed run goes on there."""

import hashlib
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
    """`doc_id`, `parent_id`, `domain`, `num_tokens`, `num_bytes`, `weight`, `shard` (its place in
    `paths`), in the order of the corpora, within a shard by a hash of the id."""

    def read(self, selections: Sequence[pl.DataFrame]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Tokens of the documents of several selections; each shard is read once.

        Args:
            selections: rows of `documents`, in its order, some perhaps several times.

        Yields:
            A selection's place, and the tokens of its next document.
        """
        by_shard = [selection.partition_by("shard", as_dict=True) for selection in selections]
        for number, path in enumerate(self.paths):
            asked = [
                (place, parts[number,])
                for place, parts in enumerate(by_shard)
                if (number,) in parts
            ]
            if not asked:
                continue
            frame = pl.read_parquet(path, columns=["doc_id", "tokens"])
            for place, part in asked:
                rows = part.select("doc_id").join(frame, on="doc_id", maintain_order="left")
                for tokens in rows["tokens"]:
                    yield place, tokens.to_numpy().astype(np.int64)


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
        weighed = (weight if weights else pl.lit(1.0)).alias("weight")
        tables.append(table.with_columns(weighed, pl.lit(number, pl.Int64).alias("shard")))
        workspace.report.progress(number + 1, len(shards), f"shard {number + 1}")
    return Encoded(paths, pl.concat(tables))


def _encode(tokenizer: Tokenizer, end: int, frame: pl.DataFrame) -> pl.DataFrame:
    # Neighbours in a shard are of one source; in a window of text they need not be.
    places = [hashlib.sha256(f"order\0{doc_id}".encode()).digest() for doc_id in frame["doc_id"]]
    frame = frame[sorted(range(len(frame)), key=places.__getitem__)]
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
