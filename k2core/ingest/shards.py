"""Shards of raw documents, bounded in documents and bytes, and what is counted of them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import polars as pl

from k2core.ingest.folder import OriginRow
from k2core.tables import write_shard
from schemas.corpus import Document, DocumentRow, Origin
from schemas.ingest import IngestConfig


class Collected(NamedTuple):
    """A document, and of a file where it was found."""

    document: DocumentRow
    origin: OriginRow | None
    num_bytes: int
    """Of its text."""


class Sized(Protocol):
    """What goes into shards."""

    @property
    def num_bytes(self) -> int:
        """Of its text."""


Row = TypeVar("Row", bound=Sized)


class SourceTally:
    """What a source has given so far."""

    def __init__(self) -> None:
        self.documents = self.num_bytes = 0
        self.sha = hashlib.sha256()
        """Over the documents' digests in order."""

    def add_all(self, documents: pl.DataFrame) -> None:
        """Count documents by `digest` and `num_bytes`."""
        self.documents += len(documents)
        self.num_bytes += int(documents["num_bytes"].sum())
        self.sha.update("".join(documents["digest"]).encode())


def cut_shards(rows: Iterable[Row], config: IngestConfig) -> Iterator[list[Row]]:
    """Rows in lists that are bounded in documents and bytes."""
    shard: list[Row] = []
    size = 0
    for row in rows:
        size_after = size + row.num_bytes
        full = len(shard) == config.shard_documents or size_after > config.shard_bytes
        if shard and full:
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += row.num_bytes
    if shard:
        yield shard


def write_collected(folder: Path, name: str, shard: Sequence[Collected]) -> None:
    """Write `documents/NAME`, and of those from files `origins/NAME`."""
    write_shard(folder / "documents" / name, Document, [each.document for each in shard])
    if origins := [each.origin for each in shard if each.origin]:
        write_shard(folder / "origins" / name, Origin, origins)
