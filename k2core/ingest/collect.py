"""Sample, read and write documents, shard by shard."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from k2core.ingest.folder import OriginRow, read_folder
from k2core.ingest.losses import Losses
from k2core.ingest.source import Item, Source, SourceError
from k2core.store import Draft, Workspace
from k2core.tables import write_shard
from schemas.corpus import Document, DocumentRow, Loss, Origin
from schemas.ingest import FilesConfig, IngestConfig


def collect_documents(
    config: IngestConfig, sources: Sequence[Source], workspace: Workspace
) -> Draft:
    """Write `documents/*.parquet` and `sources.json`; of files also their origins and faults.

    Raises:
        SourceError: a source is missing, empty or unreadable.
    """
    chosen = [(source, choose_items(config, source)) for source in sources]
    total = sum(len(items) for _, items in chosen)
    losses = Losses()
    tallies = {source.name: Tally() for source in sources}
    rows = (Collected(row, None) for row in read_documents(chosen))
    for files in config.files:
        if files.name in tallies:
            raise SourceError(f"ingest.files: {files.name!r} is an installed source: name it else")
    tallies |= {files.name: Tally() for files in config.files}
    found = (each for files in config.files for each in read_folder(files, losses))
    everything = chain(rows, (Collected(*each) for each in found))
    done = 0
    for number, shard in enumerate(cut_shards(everything, config)):
        name = f"{number:05d}.parquet"
        write_shard(workspace.out / "documents" / name, Document, [each.document for each in shard])
        if origins := [each.origin for each in shard if each.origin]:
            write_shard(workspace.out / "origins" / name, Origin, origins)
        for each in shard:
            tallies[each.document["source"]].add(each.document)
        if losses.num_pending >= config.shard_documents:
            _write_losses(losses, workspace)
        done += len(shard)
        workspace.report.progress(done, max(total, done), f"{done} documents")
    about = {source.name: describe(source, tallies[source.name]) for source in sources}
    about |= {f.name: _describe_files(f, tallies[f.name]) for f in config.files}
    _write_losses(losses, workspace)
    if config.files:
        (workspace.out / "faults.json").write_text(json.dumps(losses.as_json(), indent=1) + "\n")
        workspace.report.table("What files did not give, and what was mended", losses.as_table())
    (workspace.out / "sources.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    table = [{"source": n, **d, "bytes": tallies[n].num_bytes} for n, d in about.items()]
    workspace.report.table("Sources", table)
    num_bytes = sum(tally.num_bytes for tally in tallies.values())
    counts = {"documents": done, "bytes": num_bytes, **losses.as_counts()}
    return Draft(workspace.out, {name: float(count) for name, count in counts.items()})


def _write_losses(losses: Losses, workspace: Workspace) -> None:
    """What was lost or left out since the last time, as a shard."""
    if rows := losses.take_rows():
        folder = workspace.out / "losses"
        number = len(list(folder.glob("*.parquet")))
        write_shard(folder / f"{number:05d}.parquet", Loss, rows)


class Collected(NamedTuple):
    """A document, and of a file where it was found."""

    document: DocumentRow
    origin: OriginRow | None


class Tally:
    """What a source has given so far."""

    def __init__(self) -> None:
        self.documents = self.num_bytes = 0
        self.sha = hashlib.sha256()
        """Over the documents' digests in order."""

    def add(self, row: DocumentRow) -> None:
        """Count a document."""
        self.documents += 1
        self.num_bytes += len(row["text"].encode())
        self.sha.update(row["digest"].encode())


def cut_shards(rows: Iterable[Collected], config: IngestConfig) -> Iterator[list[Collected]]:
    """Rows in lists that are bounded in documents and bytes."""
    shard: list[Collected] = []
    size = 0
    for row in rows:
        num_bytes = len(row.document["text"].encode())
        full = len(shard) == config.shard_documents or size + num_bytes > config.shard_bytes
        if shard and full:
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += num_bytes
    if shard:
        yield shard


def choose_items(config: IngestConfig, source: Source) -> list[Item]:
    """A sample by the hash of seed and path: adding a document displaces at most one other."""
    items = source.list_items(config)
    if not items:
        raise SourceError(f"{source.name} has no documents: reinstall {source.package}")

    def draw(item: Item) -> bytes:
        return hashlib.sha256(f"{config.seed}\0{source.name}\0{item.path}".encode()).digest()

    return sorted(items, key=draw)[: source.num_wanted]


def read_documents(chosen: Sequence[tuple[Source, list[Item]]]) -> Iterator[DocumentRow]:
    """Rows of `Document`."""
    for source, items in chosen:
        for item in items:
            text = item.read()
            name = f"{source.name}\0{item.path}".encode()
            yield {
                "doc_id": hashlib.sha256(name).hexdigest()[:16],
                "source": source.name,
                "path": item.path,
                "domain": source.domain,
                "format": source.format,
                "license": source.license,
                "digest": hashlib.sha256(text.encode()).hexdigest(),
                "text": text,
            }


def describe(source: Source, tally: Tally) -> dict[str, object]:
    """What `sources.json` says of a source."""
    return {
        "domain": source.domain,
        "license": source.license,
        "package": source.package,
        "version": source.version,
        "documents": tally.documents,
        "digest": tally.sha.hexdigest(),
    }


def _describe_files(files: FilesConfig, tally: Tally) -> dict[str, object]:
    return {
        "domain": files.domain,
        "license": files.license,
        "package": files.pattern,
        "version": "unknown",
        "documents": tally.documents,
        "digest": tally.sha.hexdigest(),
    }
