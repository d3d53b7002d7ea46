"""Files in batches, each read apart from the others into shards of its own.

Which files are in one is told by their sizes alone: the corpus does not depend on who reads them.
"""

import hashlib
import pickle
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl

from k2core.ingest.folder import read_files
from k2core.ingest.losses import Losses
from k2core.ingest.places import File, list_files
from k2core.ingest.records import RecordFault
from k2core.ingest.shards import Collected, SourceTally, cut_shards, write_collected
from k2core.pieces import Crew, Made, NotSeenError, Piece
from schemas.ingest import FilesConfig, IngestConfig

_HEARD, _DIGESTS = "heard", "digests.parquet"


def collect_files(
    config: IngestConfig, files: FilesConfig, losses: Losses, crew: Crew, folder: Path
) -> Iterator[Made]:
    """Read a source's files, batch by batch; what gives no document is added to `losses`.

    Yields:
        Each batch's shards, in order (`write_collected`).

    Raises:
        SourceError: no file is there; nothing in them could be read; or something could not, and
            `on_fault` is "error".
    """
    losses.begin(files.name)
    found = list_files(files, losses.add)
    pieces = [Piece((), batch) for batch in cut_batches(found, config.shard_bytes)]
    # What a killed run has read counts if the same is there still.
    listed = repr([(file.name, file.size, file.changed) for file in found])
    there = hashlib.sha256(listed.encode()).hexdigest()
    crew.passes.weigh(files.name, sum(max(0, file.size) for file in found))
    work = partial(read_batch, config, files)
    documents = 0

    def tell_read(made: Made) -> str:
        nonlocal documents
        documents += pl.scan_parquet(made.open(_DIGESTS)).select(pl.len()).collect().item()
        return f"{files.name}: {documents:,} read"

    for made in crew.make(work, pieces, folder / there[:16], files.name, tell_read):
        for event in _replay(made.open(_HEARD)):
            _tell(losses, event)
        yield made
    losses.check_read(files.folder)


def cut_batches(files: Iterable[File], most_bytes: int) -> list[list[File]]:
    """Files in their order, so many that they have at most so many bytes; at least one."""
    batches: list[list[File]] = []
    size = 0
    for file in files:
        if not batches or file.size < 0 or size + file.size > most_bytes:
            batches.append([])
            size = 0
        batches[-1].append(file)
        size = most_bytes if file.size < 0 else size + file.size
    return batches


def read_batch(
    config: IngestConfig,
    files: FilesConfig,
    _files: Sequence[Path],
    batch: Sequence[File],
    folder: Path,
) -> None:
    """Write a batch's shards, what is counted of their documents, and what else was heard."""
    local = [file for file in batch if file.path]
    if local and not any(file.path and file.path.is_file() for file in local):
        raise NotSeenError(f"{files.folder}: {local[0].name} and those after it are not there")
    with (folder / _HEARD).open("wb") as stream:
        found = read_files(files, batch, _Notes(files, stream))
        digests = []
        for number, shard in enumerate(cut_shards((Collected(*each) for each in found), config)):
            write_collected(folder, f"{number:05d}.parquet", shard)
            digests += [(each.document["digest"], each.num_bytes) for each in shard]
    schema = {"digest": pl.String, "num_bytes": pl.Int64}
    pl.DataFrame(digests, schema, orient="row").write_parquet(folder / _DIGESTS)


def number_shards(made: Made, number: int, tally: SourceTally) -> dict[str, str]:
    """Count a batch's documents; its files by what they are in the corpus, from this number on."""
    tally.add_all(pl.read_parquet(made.open(_DIGESTS)))
    shards = [name for name in made.names() if name.startswith("documents/")]
    return {
        name.replace("documents/", f"{table}/"): f"{table}/{at:05d}.parquet"
        for at, name in enumerate(shards, number)
        for table in ("documents", "origins")
    }


_Event = tuple[str, str, RecordFault | str]
"""A file, a place, and a fault or what was mended; a file without either is one that is begun."""


class _Notes:
    """Writes down what `Losses` are to hear, in order, one at a time."""

    def __init__(self, files: FilesConfig, stream: IO[bytes]) -> None:
        self._stream, self._own = stream, Losses()
        self._own.begin(files.name)
        self._failing = files.on_fault == "error"

    def begin_file(self) -> None:
        self._note(("", "", ""))

    def add(self, file: str, fault: RecordFault) -> None:
        if self._failing:
            self._own.add(file, fault)
        self._note((file, "", fault))

    def add_read(self, file: str, place: str, repair: str) -> None:
        self._note((file, place, repair))

    def first_reasons(self) -> str:
        return self._own.first_reasons()

    def _note(self, event: _Event) -> None:
        pickle.dump(event, self._stream)


def _replay(path: Path) -> Iterator[_Event]:
    with path.open("rb") as stream:
        while stream.peek(1):
            yield pickle.load(stream)


def _tell(losses: Losses, event: _Event) -> None:
    file, place, what = event
    if not file:
        losses.begin_file()
    elif isinstance(what, RecordFault):
        losses.add(file, what)
    else:
        losses.add_read(file, place, what)
