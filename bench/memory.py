"""Memory and time of the cleaning over inputs of 0.1, 0.4 and 1.6 GB: bounded, and linear.

Each size is cleaned by a process of its own, with the rules for knowledge, near-duplicates among
them; texts are sentences of Wikipedia extracts dealt anew, one in twenty nearly a repetition.
Peak RSS counts pages of mapped files, too, which the kernel takes back; so the memory that is the
process' own is shown beside it.

    python -m bench.memory [GIGABYTES ...]
"""

import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
_SIZES = (0.1, 0.4, 1.6)
_SHARD_BYTES = 16_000_000
_REPEATED = 0.05


class Peak(NamedTuple):
    """What cleaning one input took."""

    gigabytes: float
    documents: int
    kept: int
    seconds: float
    start_mb: float
    """Resident when the imports were done."""
    peak_mb: float
    """Most resident."""
    own_mb: float
    """Most resident that no file backs."""


def measure(sizes: tuple[float, ...] = _SIZES) -> list[Peak]:
    """Clean an input of each size, one after another."""
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="k2-memory-") as folder:
            documents = make_corpus(Path(folder), size)
            command = (sys.executable, "-m", "bench.memory", "--clean", folder)
            done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
            peak = Peak(size, documents, **json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(f"{size:g} GB: {peak.seconds:.0f} s, peak {peak.peak_mb:.0f} MB\n")
            found.append(peak)
    return found


def make_corpus(folder: Path, gigabytes: float) -> int:
    """Publish a raw corpus into a store at `folder`; returns its documents."""
    from k2core.store import Draft, Store
    from k2core.tables import write_shard
    from schemas.artifacts import RawCorpus
    from schemas.corpus import Document

    workspace = Store(folder).workspace("raw")
    texts, number, documents = make_texts(), 0, 0
    num_shards = math.ceil(gigabytes * 1e9 / _SHARD_BYTES)
    for shard in range(num_shards):
        rows, size = [], 0
        while size < gigabytes * 1e9 / num_shards:
            text = next(texts)
            rows.append(_row(number, text))
            size, number = size + len(text.encode()), number + 1
        write_shard(workspace.out / "documents" / f"{shard:05d}.parquet", Document, rows)
        documents += len(rows)
    (workspace.out / "sources.json").write_text("{}")
    raw = Store(folder).publish(RawCorpus, Draft(workspace.out, {}))
    (folder / "raw.json").write_text(raw.model_dump_json())
    return documents


def make_texts() -> Iterator[str]:
    """Endless documents of some 4,000 characters, the same in every run."""
    from k2core.ingest.knowledge import list_articles
    from schemas.ingest import IngestConfig

    rng = random.Random(0)
    articles = [item.read() for item in list_articles(IngestConfig())]
    sentences = [s for text in articles for s in text.split(". ") if len(s) > 20]
    recent: list[list[str]] = []
    while True:
        if recent and rng.random() < _REPEATED:
            parts = list(rng.choice(recent))
            parts[rng.randrange(len(parts))] = rng.choice(sentences)
        else:
            parts = rng.sample(sentences, rng.randint(10, 60))
            recent = [*recent[-99:], parts]
        yield ".\n".join(parts) + "."


def _row(number: int, text: str) -> dict[str, str]:
    import hashlib

    return {
        "doc_id": hashlib.sha256(str(number).encode()).hexdigest()[:16],
        "source": "bench",
        "path": str(number),
        "domain": "knowledge",
        "format": "text",
        "license": "CC-BY-SA-4.0",
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "text": text,
    }


def clean_here(folder: Path) -> dict[str, float]:
    """Clean the corpus of a store in this process, and watch it."""
    from k2core.clean import clean_documents
    from k2core.store import Store
    from schemas.artifacts import RawCorpus
    from schemas.clean import CleanConfig

    store = Store(folder)
    raw = RawCorpus.model_validate_json((folder / "raw.json").read_bytes())
    start_mb, own, stop = _resident("VmRSS"), [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            own[0] = max(own[0], _resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    draft = clean_documents(CleanConfig(), [], raw, store.workspace("clean"))
    seconds = time.perf_counter() - started
    stop.set()
    watcher.join()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = int(draft.counts["documents"])
    return {
        **{"kept": kept, "seconds": seconds},
        **{"start_mb": start_mb, "peak_mb": peak_mb, "own_mb": own[0]},
    }


def _resident(field: str) -> float:
    """Megabytes, by the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1024


def _print(peaks: list[Peak]) -> None:
    names = ("input", "documents", "kept", "seconds", "MB/s", "start", "peak RSS", "its own")
    table = Table(*names, title="Cleaning in one process, by size of the input")
    for peak in peaks:
        speed = f"{1000 * peak.gigabytes / peak.seconds:.2f}"
        resident = (f"{mb:.0f} MB" for mb in (peak.start_mb, peak.peak_mb, peak.own_mb))
        counts = (f"{peak.documents:,}", f"{peak.kept:,}", f"{peak.seconds:.0f}", speed)
        table.add_row(f"{peak.gigabytes:g} GB", *counts, *resident)
    Console(width=110).print(table)
    first, last = peaks[0], peaks[-1]
    if last.gigabytes > first.gigabytes:
        growth = math.log(last.seconds / first.seconds) / math.log(last.gigabytes / first.gigabytes)
        sys.stdout.write(f"time grows with the power {growth:.2f} of the input (1 is linear)\n")
    more = last.gigabytes / first.gigabytes
    ratio = last.own_mb / first.own_mb
    sys.stdout.write(f"memory ratio={ratio:.2f} (own memory, for {more:g} times the input)\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    if arguments and arguments[0] == "--clean":
        sys.stdout.write(json.dumps(clean_here(Path(arguments[1]))) + "\n")
        return
    _print(measure(tuple(map(float, arguments or ())) or _SIZES))


if __name__ == "__main__":
    main(sys.argv[1:])
