"""Documents of installed sources, some at a time, each apart from the others; then their shards.

Where a shard ends goes by the bytes of all documents before it, so texts are read first and their
lengths told, and then go into shards as they were read.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.ingest.shards import Collected, SourceTally, cut_shards, write_collected
from k2core.ingest.source import Item, Source, SourceError
from k2core.pieces import Crew, Made, Names, NotSeenError, Piece
from k2core.store import StoredFile
from k2core.tables import write_shard
from schemas.corpus import Document, DocumentRow
from schemas.ingest import IngestConfig

PACKAGES = "packages"
"""The pass that reads."""
_TOGETHER = 1_000
"""Documents of a source that are read together."""
_DIGESTS, _SHARD = "digests.parquet", "documents/shard.parquet"


class _Asked(NamedTuple):
    """Documents of a source, by their paths."""

    source: Source
    paths: tuple[str, ...]


class _Row(NamedTuple):
    """A document that was read."""

    file: StoredFile
    number: int
    num_bytes: int


class _Rows(NamedTuple):
    """Neighbouring rows of a file."""

    first: int
    stop: int


def collect_packages(
    config: IngestConfig,
    chosen: Sequence[tuple[Source, list[Item]]],
    tallies: Mapping[str, SourceTally],
    crew: Crew,
    scratch: Path,
) -> list[tuple[Made, Names]]:
    """Read documents into shards of the corpus, from its first on.

    Args:
        config: the stage's.
        chosen: of each source what is read.
        tallies: by source, in which they are counted.
        crew: who reads.
        scratch: for what was read.

    Raises:
        SourceError: a document is unreadable.
    """
    asked = [
        _Asked(source, tuple(item.path for item in items[first : first + _TOGETHER]))
        for source, items in chosen
        for first in range(0, len(items), _TOGETHER)
    ]
    # What a killed run has read counts if the same is asked of the same package.
    listed = repr([(each.source.name, each.source.version, each.paths) for each in asked])
    name = f"packages-{hashlib.sha256(listed.encode()).hexdigest()[:16]}"
    documents = 0

    def tell(made: Made) -> str:
        nonlocal documents
        documents += pl.scan_parquet(made.open(_DIGESTS)).select(pl.len()).collect().item()
        return f"{documents} documents"

    def list_rows() -> Iterator[_Row]:
        pieces = [Piece((), each) for each in asked]
        read = crew.make(partial(read_items, config), pieces, scratch / name, PACKAGES, tell)
        for (source, _), made in zip(asked, read, strict=True):
            digests = pl.read_parquet(made.open(_DIGESTS))
            tallies[source.name].add_all(digests)
            for file, number, num_bytes in digests.drop("digest").iter_rows():
                yield _Row(made.file(file), number, num_bytes)

    shards = [_join(shard) for shard in cut_shards(list_rows(), config)]
    made = crew.make(_write_shard, shards, scratch / f"{name}-shards")
    return [(each, {_SHARD: f"documents/{n:05d}.parquet"}) for n, each in enumerate(made)]


def read_items(config: IngestConfig, _files: Sequence[Path], asked: _Asked, folder: Path) -> None:
    """Write documents of a source, and their digests, lengths and places apart from them."""
    source, paths = asked
    try:
        items = {item.path: item for item in _list_all(source, config)}
        wanted = [items[path] for path in paths]
    except (SourceError, KeyError) as error:
        raise NotSeenError(f"{source.name} is not here as it is listed: {error}") from error
    digests = []
    for number, shard in enumerate(cut_shards(_read(source, wanted), config)):
        name = f"{number:05d}.parquet"
        write_collected(folder, name, shard)
        digests += [
            (f"documents/{name}", row, each.document["digest"], each.num_bytes)
            for row, each in enumerate(shard)
        ]
    schema = {"file": pl.String, "row": pl.Int64, "digest": pl.String, "num_bytes": pl.Int64}
    pl.DataFrame(digests, schema, orient="row").write_parquet(folder / _DIGESTS)


def list_items(source: Source, config: IngestConfig) -> list[Item]:
    """All that a source has; `forget_items` lets go of it.

    Raises:
        SourceError: it is not there, or empty.
    """
    items = _list_all(source, config)
    if not items:
        raise SourceError(f"{source.name} has no documents: reinstall {source.package}")
    return items


def forget_items() -> None:
    """Whatever is listed next is looked at anew."""
    _list_all.cache_clear()


@lru_cache(maxsize=16)
def _list_all(source: Source, config: IngestConfig) -> list[Item]:
    return source.list_items(config)


def _read(source: Source, items: Sequence[Item]) -> Iterator[Collected]:
    for item in items:
        text = item.read()
        data, name = text.encode(), f"{source.name}\0{item.path}".encode()
        row: DocumentRow = {
            "doc_id": hashlib.sha256(name).hexdigest()[:16],
            "source": source.name,
            "path": item.path,
            "domain": source.domain,
            "format": source.format,
            "license": source.license,
            "digest": hashlib.sha256(data).hexdigest(),
            "text": text,
        }
        yield Collected(row, None, len(data))


def _join(rows: Sequence[_Row]) -> Piece:
    """A shard of the corpus as rows of files."""
    files, told = list[StoredFile](), list[_Rows]()
    for file, part in groupby(rows, key=lambda row: row.file):
        numbers = [row.number for row in part]
        files.append(file)
        told.append(_Rows(numbers[0], numbers[-1] + 1))
    return Piece(tuple(files), told)


def _write_shard(files: Sequence[Path], told: Sequence[_Rows], folder: Path) -> None:
    """Write rows of files as one table."""
    rows = [
        row
        for path, part in zip(files, told, strict=True)
        for row in pl.read_parquet(path)[part.first : part.stop].to_dicts()
    ]
    write_shard(folder / _SHARD, Document, rows)
