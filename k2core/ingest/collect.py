"""Sample, read and write documents, shard by shard."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from k2core.ingest.batches import collect_files, number_shards
from k2core.ingest.losses import Losses
from k2core.ingest.packages import PACKAGES, collect_packages, forget_items, list_items
from k2core.ingest.shards import SourceTally
from k2core.ingest.source import Item, Source, SourceError
from k2core.passes import Passes
from k2core.pieces import Crew, Made, Names, gather_crew, take_made
from k2core.store import Draft, Workspace
from k2core.tables import write_shard
from schemas.corpus import Loss
from schemas.ingest import FilesConfig, IngestConfig

_PACKAGED_BYTES = 5_000
"""A document of an installed source, about: what is read of files is known in bytes."""


def collect_documents(
    config: IngestConfig, sources: Sequence[Source], workspace: Workspace, num_workers: int = 0
) -> Draft:
    """Write `documents/*.parquet` and `sources.json`; of files also their origins and faults.

    Args:
        config: the stage's.
        sources: installed ones.
        workspace: whose scratch keeps what was read of files.
        num_workers: pieces at a time that Ray Data reads; 0 reads in this process.

    Raises:
        SourceError: a source is missing, empty or unreadable.
    """
    forget_items()
    chosen = [(source, choose_items(config, source)) for source in sources]
    total = sum(len(items) for _, items in chosen)
    losses = Losses()
    tallies = {source.name: SourceTally() for source in sources}
    for files in config.files:
        if files.name in tallies:
            raise SourceError(f"ingest.files: {files.name!r} is an installed source: name it else")
    tallies |= {files.name: SourceTally() for files in config.files}
    passes = Passes(workspace.report, {PACKAGES: total * _PACKAGED_BYTES})
    with gather_crew(workspace, num_workers, passes) as crew:
        taken = collect_packages(config, chosen, tallies, crew, workspace.scratch)
        forget_items()
        taken += _collect_files(config, losses, tallies, len(taken), workspace, crew)
    about = {source.name: describe(source, tallies[source.name]) for source in sources}
    about |= {f.name: _describe_files(f, tallies[f.name]) for f in config.files}
    if config.files:
        (workspace.out / "faults.json").write_text(json.dumps(losses.as_json(), indent=1) + "\n")
        workspace.report.table("What files did not give, and what was mended", losses.as_table())
    (workspace.out / "sources.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    table = [{"source": n, **d, "bytes": tallies[n].num_bytes} for n, d in about.items()]
    workspace.report.table("Sources", table)
    counts = {
        "documents": sum(tally.documents for tally in tallies.values()),
        "bytes": sum(tally.num_bytes for tally in tallies.values()),
        **losses.as_counts(),
    }
    return take_made(workspace, {name: float(count) for name, count in counts.items()}, taken)


def _collect_files(
    config: IngestConfig,
    losses: Losses,
    tallies: Mapping[str, SourceTally],
    number: int,
    workspace: Workspace,
    crew: Crew,
) -> list[tuple[Made, Names]]:
    """Read all files; what was made of them, and its shards' places from this number on."""
    read, taken = workspace.scratch / "read", list[tuple[Made, Names]]()
    for place, files in enumerate(config.files):
        for made in collect_files(config, files, losses, crew, read / f"{place}"):
            names = number_shards(made, number, tallies[files.name])
            number += len(names) // 2
            taken.append((made, names))
            if losses.num_pending >= config.shard_documents:
                _write_losses(losses, workspace)
    _write_losses(losses, workspace)
    return taken


def _write_losses(losses: Losses, workspace: Workspace) -> None:
    """What was lost or left out since the last time, as a shard."""
    if rows := losses.take_rows():
        folder = workspace.out / "losses"
        number = len(list(folder.glob("*.parquet")))
        write_shard(folder / f"{number:05d}.parquet", Loss, rows)


def choose_items(config: IngestConfig, source: Source) -> list[Item]:
    """A sample by the hash of seed and path: adding a document displaces at most one other."""

    def draw(item: Item) -> bytes:
        return hashlib.sha256(f"{config.seed}\0{source.name}\0{item.path}".encode()).digest()

    return sorted(list_items(source, config), key=draw)[: source.num_wanted]


def describe(source: Source, tally: SourceTally) -> dict[str, object]:
    """What `sources.json` says of a source."""
    return {
        "domain": source.domain,
        "license": source.license,
        "package": source.package,
        "version": source.version,
        "credit": source.credit,
        "documents": tally.documents,
        "digest": tally.sha.hexdigest(),
    }


def _describe_files(files: FilesConfig, tally: SourceTally) -> dict[str, object]:
    return {
        "domain": files.domain,
        "license": files.license,
        "package": files.pattern,
        "version": "unknown",
        "credit": files.credit,
        "documents": tally.documents,
        "digest": tally.sha.hexdigest(),
    }
