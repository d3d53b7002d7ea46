"""Sample, read and write documents, shard by shard."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from k2core.ingest.folder import read_folder
from k2core.ingest.source import Item, Source, SourceError
from k2core.store import Draft, Workspace
from k2core.tables import write_shard
from schemas.corpus import Document
from schemas.ingest import FilesConfig, IngestConfig


def collect_documents(
    config: IngestConfig, sources: Sequence[Source], workspace: Workspace
) -> Draft:
    """Write `documents/*.parquet` and `sources.json`.

    Raises:
        SourceError: a source is missing, empty or unreadable.
    """
    chosen = [(source, choose_items(config, source)) for source in sources]
    total = sum(len(items) for _, items in chosen)
    digests: dict[str, list[str]] = {source.name: [] for source in sources}
    num_bytes = dict.fromkeys(digests, 0)
    rows = read_documents(chosen)
    faults: list[dict[str, str]] = []
    if config.files:
        digests[config.files.name], num_bytes[config.files.name] = [], 0
        rows = chain(rows, read_folder(config.files, faults))
    done = number = 0
    while shard := list(islice(rows, config.shard_documents)):
        write_shard(workspace.out / "documents" / f"{number:05d}.parquet", Document, shard)
        for row in shard:
            digests[row["source"]].append(row["digest"])
            num_bytes[row["source"]] += len(row["text"].encode())
        done, number = done + len(shard), number + 1
        workspace.report.progress(done, max(total, done), f"{done} documents")
    about = {source.name: describe(source, digests[source.name]) for source in sources}
    if config.files:
        about[config.files.name] = _describe_files(config.files, digests[config.files.name])
        (workspace.out / "faults.json").write_text(json.dumps(faults, indent=1) + "\n")
        workspace.report.table("Files that could not be read", faults)
    (workspace.out / "sources.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    table = [{"source": n, **d, "bytes": num_bytes[n]} for n, d in about.items()]
    workspace.report.table("Sources", table)
    counts = {"documents": float(done), "bytes": float(sum(num_bytes.values()))}
    return Draft(workspace.out, counts)


def choose_items(config: IngestConfig, source: Source) -> list[Item]:
    """A sample by the hash of seed and path: adding a document displaces at most one other."""
    items = source.list_items(config)
    if not items:
        raise SourceError(f"{source.name} has no documents: reinstall {source.package}")

    def draw(item: Item) -> bytes:
        return hashlib.sha256(f"{config.seed}\0{source.name}\0{item.path}".encode()).digest()

    return sorted(items, key=draw)[: source.num_wanted]


def read_documents(chosen: Sequence[tuple[Source, list[Item]]]) -> Iterator[dict[str, Any]]:
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


def describe(source: Source, digests: Sequence[str]) -> dict[str, Any]:
    """What `sources.json` says of a source."""
    return {
        "domain": source.domain,
        "license": source.license,
        "package": source.package,
        "version": source.version,
        "documents": len(digests),
        "digest": hashlib.sha256("".join(digests).encode()).hexdigest(),
    }


def _describe_files(files: FilesConfig, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "domain": files.domain,
        "license": files.license,
        "package": files.pattern,
        "version": "unknown",
        "documents": len(digests),
        "digest": hashlib.sha256("".join(digests).encode()).hexdigest(),
    }
