"""What passes through the driver of the text stages as workers grow, and documents a second.

Real texts (`bench.corpus`) in JSON lines through ingest, clean and tokenize, in this process and by
Ray Data on this machine, in a store that all workers see. What passes through the driver is what
its process reads and writes, by the kernel's count (which has the modules that it imports, and not
what it sends), and what it sends to a bucket or reads from it: with no workers that is all of the
work. Beside it stands what is on its disk when a stage is done.

    python -m bench.scale_text [NUM_DOCUMENTS [s3://BUCKET]]

With a bucket (`moto_server` and AWS_ENDPOINT_URL do) workers have nothing else in common.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from bench.corpus import make_documents
from k2core.store import Store
from k2core.store.bucket import Bucket, SentBytes
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
    bucket_bytes: float
    """Between it and a bucket."""
    disk_bytes: float
    """On the driver's disk: artifacts that are kept there, and what the work left."""
    digest: str


def measure(texts: Sequence[str], folder: Path, bucket: str = "") -> list[Row]:
    """All stages, with each number of workers; in folders, or below a bucket's address."""
    files = folder / "files"
    files.mkdir()
    for number in range(_FILES):
        lines = [json.dumps({"text": text}) for text in texts[number::_FILES]]
        (files / f"{number:03d}.jsonl").write_text("\n".join(lines))
    first = Store(folder / "first")
    _run(_write_few(folder / "few", texts), first, 0, Counter())  # imports are no part of it
    stores = [
        Store(f"{bucket}/{count}" if bucket else folder / f"{count}", folder / f"{count}")
        for count in _WORKERS
    ]
    with _counting() as through:
        pairs = zip(stores, _WORKERS, strict=True)
        return [row for store, count in pairs for row in _run(files, store, count, through)]


def _write_few(folder: Path, texts: Sequence[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts[:30]):
        (folder / f"{number}.txt").write_text(text)
    return folder


@contextmanager
def _counting() -> Iterator[Counter[str]]:
    """Bytes between this process and a bucket, by the names of files."""
    through, read, upload = Counter[str](), Bucket.read, Bucket.upload

    def count_read(self: Bucket, name: str, start: int = 0, stop: int | None = None) -> bytes:
        content = read(self, name, start, stop)
        through[Path(name).name] += len(content)
        return content

    def count_upload(self: Bucket, path: Path, name: str) -> SentBytes:
        through[path.name] += path.stat().st_size
        return upload(self, path, name)

    with patch.object(Bucket, "read", count_read), patch.object(Bucket, "upload", count_upload):
        yield through


def _run(files: Path, store: Store, workers: int, through: Counter[str]) -> list[Row]:
    from k2core.pieces import gather_crew

    rows = list[Row]()
    with gather_crew(store.workspace("held"), workers):  # Ray's start is no stage's
        made: list[Artifact] = []
        for stage, work in _stages(store, files, workers):
            through.clear()
            before, held, start = _passed(), _size(store.disk), time.perf_counter()
            made.append(work(*made[-1:]))
            seconds = time.perf_counter() - start
            speed = made[0].counts["documents"] / seconds
            held = _size(store.disk) - held
            passed, bucket = _passed() - before, through.total()
            rows.append(Row(stage, workers, speed, passed, bucket, held, made[-1].digest))
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


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table, and by how much the driver's part grows from one worker to two."""
    texts = make_documents(int(arguments[0]) if arguments else 2000)
    with tempfile.TemporaryDirectory(prefix="k2-scale-") as place:
        rows = measure(texts, Path(place), *arguments[1:])
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    title = f"{len(texts)} documents, {megabytes:.0f} MB"
    columns = ("documents/s", "through the driver", "and the bucket", "on its disk", "digest")
    table = Table("stage", "workers", *columns, title=title)
    for row in rows:
        cells = (
            f"{row.documents_a_second:,.0f}",
            f"{row.driver_bytes / 1e6:,.1f} MB",
            f"{row.bucket_bytes / 1e6:,.2f} MB",
            f"{row.disk_bytes / 1e6:,.2f} MB",
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
