"""Encode the corpora shard by shard."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from tokenizers import Tokenizer

from k2core.pieces import Crew, Piece
from k2core.store import StoredFile
from k2core.tokenize.texts import read_documents, read_weights
from k2core.tokenize.vocabulary import end_of_document, read_tokenizer

_DOCUMENTS, _TOKENS, _TOTALS = "documents.parquet", "tokens.parquet", "totals.parquet"


class DomainTotals(NamedTuple):
    """Of documents."""

    documents: int = 0
    num_tokens: int = 0
    num_bytes: int = 0
    """Of their texts."""


class EncodedShards(NamedTuple):
    """Encoded shards in the order of the corpora; within one documents go by a hash of the id."""

    tokens: list[StoredFile]
    """`doc_id` and `tokens`."""
    documents: list[StoredFile]
    """What is known of them without their tokens: `doc_id`, `parent_id`, `domain`, `num_tokens`,
    `weight`."""
    totals: dict[str, DomainTotals]
    """By domain."""


def encode_shards(
    tokenizer: Path, shards: Sequence[Piece], crew: Crew, scratch: Path
) -> EncodedShards:
    """Encode every document, with the end token after it.

    Args:
        tokenizer: its folder.
        shards: to encode.
        crew: who does it.
        scratch: where encoded shards are kept.
    """
    work = partial(_encode_shard, (tokenizer / "tokenizer.json").read_text())
    made = list(crew.make(work, shards, scratch / "encoded"))
    totals: dict[str, DomainTotals] = {}
    for each in made:
        for domain, *more in pl.read_parquet(each.open(_TOTALS)).iter_rows():
            pairs = zip(totals.get(domain, DomainTotals()), more, strict=True)
            totals[domain] = DomainTotals(*(one + other for one, other in pairs))
    tokens, documents = ([each.file(name) for each in made] for name in (_TOKENS, _DOCUMENTS))
    return EncodedShards(tokens, documents, totals)


def _encode_shard(content: str, files: Sequence[Path], rewrites: bool, folder: Path) -> None:
    """Write a shard's tokens, and apart from them what is known of its documents."""
    tokenizer = read_tokenizer(content)
    encoded = _encode(tokenizer, read_documents(files[0], rewrites=rewrites))
    weights = read_weights(files[1]) if len(files) > 1 else {}
    weight = pl.col("doc_id").replace_strict(weights, default=1.0, return_dtype=pl.Float64)
    documents = encoded.drop("tokens", "num_bytes")
    documents = documents.with_columns(weight=weight if weights else pl.lit(1.0))
    documents.write_parquet(folder / _DOCUMENTS)
    totals = encoded.group_by("domain").agg(
        pl.len().cast(pl.Int64).alias("documents"), pl.col("num_tokens", "num_bytes").sum()
    )
    totals.sort("domain").write_parquet(folder / _TOTALS)
    encoded.select("doc_id", "tokens").write_parquet(folder / _TOKENS)


def _encode(tokenizer: Tokenizer, frame: pl.DataFrame) -> pl.DataFrame:
    end = end_of_document(tokenizer)
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
