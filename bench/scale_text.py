"""What passes through the driver of the text stages as workers grow, and documents a second.

Real texts (`bench.corpus`) in JSON lines through ingest, clean and tokenize, in this process and by
Ray Data on this machine, in a store that all workers see. What passes through the driver is what
its process reads and writes, by the kernel's count: with no workers that is all of the work.

    python -m bench.scale_text [NUM_DOCUMENTS]
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.corpus import make_documents
from k2core.store import Store
from schemas.artifacts import CleanCorpus, RawCorpus, TokenCorpus
from schemas.base import Artifact
from schemas.ingest import FilesConfig, IngestConfig

_WORKERS = (0, 1, 2)
_FILES = 40


class Row(NamedTuple):
    """A stage with so many workers."""

    stage: str
    workers: int
    documents_a_second: float
    driver_bytes: float
    """Read and written by the driver's process."""
    digest: str


def measure(texts: Sequence[str], folder: Path) -> list[Row]:
    """All stages, with each number of workers."""
    files = folder / "files"
    files.mkdir()
    for number in range(_FILES):
        lines = [json.dumps({"text": text}) for text in texts[number::_FILES]]
        (files / f"{number:03d}.jsonl").write_text("\n".join(lines))
    _run(_write_few(folder / "few", texts), folder / "first", 0)  # imports are no part of it
    return [row for count in _WORKERS for row in _run(files, folder / f"{count}", count)]


def _write_few(folder: Path, texts: Sequence[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts[:30]):
        (folder / f"{number}.txt").write_text(text)
    return folder


def _run(files: Path, root: Path, workers: int) -> list[Row]:
    from k2core.pieces import gather_crew

    store, rows = Store(root), list[Row]()
    with gather_crew(store.workspace("held"), workers):  # Ray's start is no stage's
        made: list[Artifact] = []
        for stage, work in _stages(store, files, workers):
            before, start = _passed(), time.perf_counter()
            made.append(work(*made[-1:]))
            seconds = time.perf_counter() - start
            speed = made[0].counts["documents"] / seconds
            rows.append(Row(stage, workers, speed, _passed() - before, made[-1].digest))
    return rows


def _stages(store: Store, files: Path, workers: int) -> list[tuple[str, Callable[..., Artifact]]]:
    from k2core.clean import clean_documents
    from k2core.ingest import ingest_sources
    from k2core.tokenize import tokenize_corpora
    from schemas.clean import CleanConfig
    from schemas.placement import Placement
    from schemas.tokenize import TokenizeConfig

    nums = {f"num_{n}": 0 for n in ("knowledge", "web", "code", "tool_specs", "math", "tables")}
    source = FilesConfig(folder=str(files), license="CC-BY-SA-4.0", domain="knowledge")
    collected = IngestConfig.model_validate({**nums, "files": source, "shard_bytes": 2_000_000})
    tokens = TokenizeConfig(vocab_size=400, mixture={}, train_tokens=None)
    place = Placement(data_workers=workers)

    def collect() -> Artifact:
        return store.publish(RawCorpus, ingest_sources(collected, store.workspace("i"), place))

    def clean(raw: RawCorpus) -> Artifact:
        made = clean_documents(CleanConfig(), [], raw, store.workspace("c"), workers)
        return store.publish(CleanCorpus, made)

    def tokenize(text: CleanCorpus) -> Artifact:
        made = tokenize_corpora(tokens, text, None, store.workspace("t"), place)
        return store.publish(TokenCorpus, made)

    return [("ingest", collect), ("clean", clean), ("tokenize", tokenize)]


def _passed() -> int:
    """Bytes that this process has read and written so far."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"]) + int(counts["wchar"])


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table, and by how much the driver's part grows from one worker to two."""
    texts = make_documents(int(arguments[0]) if arguments else 2000)
    with tempfile.TemporaryDirectory(prefix="k2-scale-") as place:
        rows = measure(texts, Path(place))
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    title = f"{len(texts)} documents, {megabytes:.0f} MB"
    table = Table("stage", "workers", "documents/s", "through the driver", "digest", title=title)
    for row in rows:
        cells = (
            f"{row.documents_a_second:,.0f}",
            f"{row.driver_bytes / 1e6:,.1f} MB",
            row.digest[7:19],
        )
        table.add_row(row.stage, str(row.workers), *cells)
    Console(width=100).print(table)
    passed = {(row.stage, row.workers): row.driver_bytes for row in rows}
    worst = max(passed[stage, 2] / passed[stage, 1] for stage, workers in passed if workers == 1)
    one = {row.stage: row.digest for row in rows}
    equal = all(row.digest == one[row.stage] for row in rows)
    print(f"scale_text worst_growth_from_1_to_2_workers={worst:.2f} equal_bytes={equal}")


if __name__ == "__main__":
    main(sys.argv[1:])
