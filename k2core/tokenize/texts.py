"""The texts to tokenize: clean documents, then their rewrites."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandera.polars as pa
import polars as pl

from k2core.tables import list_shards, read_shard
from schemas.corpus import Decision, Document, Rewrite
from schemas.errors import InputsError

_MOST_BYTES = 2**30
"""Of a sample: training a vocabulary takes memory."""


class Shard(NamedTuple):
    """A parquet file of documents or of rewrites."""

    path: Path
    model: type[pa.DataFrameModel]


def find_shards(clean: Path, rephrased: Path | None = None) -> list[Shard]:
    """All shards in order; a rephrased corpus may be empty, a clean one may not."""
    rewrites = sorted((rephrased / "kept").glob("*.parquet")) if rephrased else []
    return [
        *(Shard(path, Document) for path in list_shards(clean / "kept")),
        *(Shard(path, Rewrite) for path in rewrites),
    ]


def read_documents(shard: Shard) -> pl.DataFrame:
    """`doc_id`, `parent_id` (its own for a document), `domain` and `text`."""
    frame = read_shard(shard.path, shard.model)
    parent = "parent_id" if "parent_id" in frame.columns else "doc_id"
    return frame.select("doc_id", pl.col(parent).alias("parent_id"), "domain", "text")


def read_weights(shard: Shard) -> dict[str, float]:
    """How often the cleaning wants documents of a shard that it does not want once.

    Rewrites are wanted once each: to have more of a document, rewrite it more often.
    """
    decisions = shard.path.parent.parent / "decisions" / shard.path.name
    if shard.model is not Document or not decisions.exists():
        return {}
    frame = read_shard(decisions, Decision).filter(decision="kept")
    return dict(frame.select("doc_id", "sampling_weight").filter(pl.last() != 1).iter_rows())


def sample_texts(
    shards: Sequence[Shard], mixture: Mapping[str, float], asked: int | None
) -> Iterator[list[str]]:
    """Texts in the mixture's proportions, shard by shard, some `asked` bytes in all, or all texts.

    Without a mixture, each domain by its size; never more than 1 GiB, for a larger sample changes
    no merge that matters. Documents of a domain with more text than its share are drawn by the hash
    of their id; those of a domain with less come several times.

    Raises:
        InputsError: a domain with a share has no text.
    """
    sizes: Counter[str] = Counter()
    for shard in shards:
        frame = read_documents(shard)
        by_domain = frame.group_by("domain").agg(pl.col("text").str.len_bytes().sum())
        sizes.update(dict(by_domain.iter_rows()))
    total = sizes.total()
    natural = {domain: size / total for domain, size in sizes.items() if size}
    shares = {domain: share for domain, share in (mixture or natural).items() if share}
    num_bytes = min(asked or total, _MOST_BYTES)
    if lacking := [f"mixture.{d}={share}" for d, share in shares.items() if not sizes[d]]:
        raise InputsError(
            f"there is no text for {', '.join(lacking)}: collect some, or set it to 0"
        )
    copies = {domain: share * num_bytes / sizes[domain] for domain, share in shares.items()}
    for shard in shards:
        rows = read_documents(shard).select("doc_id", "domain", "text").iter_rows()
        yield [
            text
            for doc_id, domain, text in rows
            for _ in range(_round(copies.get(domain, 0.0), doc_id))
        ]


def _round(copies: float, doc_id: str) -> int:
    """Up or down by the hash of the document's id, so that the mean is right."""
    draw = hashlib.sha256(f"vocabulary\0{doc_id}".encode()).digest()[:8]
    return math.floor(copies + int.from_bytes(draw, "big") / 2**64)
