"""Memory and time of ingest and clean over inputs of 0.1, 0.4 and 1.6 GB: bounded, and linear.

Each size is read from JSON lines and cleaned by a process of its own, with the rules for knowledge,
near-duplicates among them; texts are sentences of Wikipedia extracts dealt anew, one in twenty
nearly a repetition. `long` is 300 texts of 2 MB. Peak RSS counts pages of mapped files, too, which
the kernel takes back; so the memory that is the process' own is shown beside it.

    python -m bench.memory [GIGABYTES | long ...]
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
_SIZES = ("0.1", "0.4", "1.6")
_LONG = "long"
_LONG_TEXTS, _LONG_BYTES = 300, 2_000_000
_FILE_BYTES = 16_000_000
_REPEATED = 0.05


class Peak(NamedTuple):
    """What reading and cleaning one input took."""

    name: str
    gigabytes: float
    documents: int
    kept: int
    ingest: float
    """Seconds of the first stage."""
    seconds: float
    """Of both."""
    start_mb: float
    """Resident when the imports were done."""
    peak_mb: float
    """Most resident."""
    own_mb: float
    """Most resident that no file backs."""


def measure(names: tuple[str, ...] = _SIZES) -> list[Peak]:
    """Read and clean an input of each size, one after another."""
    found = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="k2-memory-") as folder:
            size = write_files(Path(folder) / "texts", name)
            command = (sys.executable, "-m", "bench.memory", "--here", folder, name)
            done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            peak = Peak(name, size / 1e9, **json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(f"{name}: {peak.seconds:.0f} s, own peak {peak.own_mb:.0f} MB\n")
            found.append(peak)
    return found


def write_files(folder: Path, name: str) -> int:
    """JSON lines of an input, e.g. `0.4` (GB) or `long`; returns the bytes of its texts."""
    folder.mkdir()
    texts = make_texts()
    if name == _LONG:
        several = texts  # named apart: a generator looks its names up when it runs
        texts = (_join(several, _LONG_BYTES) for _ in range(_LONG_TEXTS))
    total, size, most = 0, 0, math.inf if name == _LONG else float(name) * 1e9
    stream = None
    for text in texts:
        if stream is None or size >= _FILE_BYTES:
            if stream is not None:
                stream.close()
            stream, size = (folder / f"{total:012d}.jsonl").open("w"), 0
        stream.write(json.dumps({"text": text}) + "\n")
        size += len(text.encode())
        total += len(text.encode())
        if total >= most:
            break
    if stream is not None:
        stream.close()
    return total


def _join(texts: Iterator[str], num_bytes: int) -> str:
    """One text of several."""
    parts, size = [], 0
    while size < num_bytes:
        parts.append(next(texts))
        size += len(parts[-1].encode())
    return "\n".join(parts)


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


def work_here(folder: Path, name: str) -> dict[str, float]:
    """Read and clean an input's texts, in a folder, in this process, and watch it."""
    from k2core.clean import clean_documents
    from k2core.ingest import ingest_sources
    from k2core.store import Store
    from schemas.artifacts import RawCorpus
    from schemas.clean import CleanConfig, DomainRules, Quality, Repetition
    from schemas.ingest import FilesConfig, IngestConfig
    from schemas.placement import Placement

    nothing = dict.fromkeys(
        (each for each in IngestConfig.model_fields if each.startswith("num_")), 0
    )
    files = FilesConfig(folder=str(folder / "texts"), domain="knowledge", license="CC-BY-SA-4.0")
    config = IngestConfig(**nothing, files=(files,))
    any_length = Quality(min_words=20, max_words=10**9, min_alphabetic_words_frac=0.65)
    repetition = Repetition()
    if name == _LONG:  # two megabytes of dealt sentences repeat some: counted, and nothing dropped
        shares = [each for each in Repetition.model_fields if each.endswith("s_frac")]
        repetition = Repetition.model_validate(
            {each: (1.0,) * 6 if "ngrams" in each else 1.0 for each in shares}
        )
    clean = CleanConfig(knowledge=DomainRules(quality=any_length, repetition=repetition))
    store = Store(folder / "store")
    start_mb, own, stop = resident_mb("VmRSS"), [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            own[0] = max(own[0], resident_mb("RssAnon"))

    watcher = threading.Thread(target=watch, daemon=True)  # ends with a failure, too
    watcher.start()
    started = time.perf_counter()
    draft = ingest_sources(config, store.workspace("ingest"), Placement())
    raw = store.publish(RawCorpus, draft)
    ingest = time.perf_counter() - started
    done = clean_documents(clean, [], raw, store.workspace("clean"))
    seconds = time.perf_counter() - started
    stop.set()
    watcher.join()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        **{"documents": int(raw.counts["documents"]), "kept": int(done.counts["documents"])},
        **{"ingest": ingest, "seconds": seconds},
        **{"start_mb": start_mb, "peak_mb": peak_mb, "own_mb": own[0]},
    }


def resident_mb(field: str) -> float:
    """Megabytes, by the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1024


def _print(peaks: list[Peak]) -> None:
    names = ("input", "documents", "kept", "ingest", "both", "MB/s", "start", "peak RSS", "its own")
    table = Table(*names, title="Ingest and clean in one process, by size of the input")
    for peak in peaks:
        speed = f"{1000 * peak.gigabytes / peak.seconds:.2f}"
        resident = (f"{mb:.0f} MB" for mb in (peak.start_mb, peak.peak_mb, peak.own_mb))
        counts = (f"{peak.documents:,}", f"{peak.kept:,}")
        times = (f"{peak.ingest:.0f} s", f"{peak.seconds:.0f} s")
        table.add_row(f"{peak.name}: {peak.gigabytes:.2f} GB", *counts, *times, speed, *resident)
    Console(width=120).print(table)
    sized = [peak for peak in peaks if peak.name != _LONG]
    if len(sized) < 2:
        return
    first, last = sized[0], sized[-1]
    more = last.gigabytes / first.gigabytes
    growth = math.log(last.seconds / first.seconds) / math.log(more)
    sys.stdout.write(f"time grows with the power {growth:.2f} of the input (1 is linear)\n")
    ratio = last.own_mb / first.own_mb
    sys.stdout.write(f"memory ratio={ratio:.2f} (own memory, for {more:.3g} times the input)\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    if arguments and arguments[0] == "--here":
        sys.stdout.write(json.dumps(work_here(Path(arguments[1]), arguments[2])) + "\n")
        return
    _print(measure(tuple(arguments or _SIZES)))


if __name__ == "__main__":
    main(sys.argv[1:])
