"""What the driver of cleaning and tokenizing holds for each document, by synthetic corpora.

Documents of a few words go through `tokenize` as they are; for `clean` what is said of each judged
document is drawn (keys, signatures, outline; one in ten repeats another), and the deciding pass
alone is run. All is in one process, of which a shard's part is the same for any corpus: what grows
between a corpus and one of several times its documents is the driver's, in bytes a document, by the
pass that ran, or that had ended.

    python -m bench.driver [STAGE ...] [NUM_DOCUMENTS NUM_DOCUMENTS]
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.memory import ROOT, resident_mb

if TYPE_CHECKING:
    from k2core.pieces import Crew, Made, Piece, Work

_STAGES = ("tokenize", "clean")
_DOCUMENTS = (250_000, 1_000_000)
_SHARD = 10_000
_REPEATED = 0.1


def measure(stage: str, num: int) -> dict[str, float]:
    """Megabytes of a stage's driver at its peak, by pass, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="k2-driver-") as folder:
        command = (sys.executable, "-m", "bench.driver", "--here", stage, str(num), folder)
        done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{stage}, {num:,}: peak {max(found.values()):.0f} MB\n")
    return found


@contextmanager
def watching(peaks: dict[str, float]) -> Iterator[None]:
    """Keep the most memory that no file backs, by the pass that runs or has ended."""
    from k2core.pieces import Crew

    now, stop, make = ["before"], threading.Event(), Crew.make

    def watch() -> None:
        while not stop.wait(0.01):
            peaks[now[0]] = max(peaks[now[0]], resident_mb("RssAnon"))

    def note(
        crew: "Crew",
        work: "Work",
        pieces: "Sequence[Piece]",
        folder: Path,
        name: str = "",
        note: "Callable[[Made], str] | None" = None,
    ) -> "Iterator[Made]":
        now[0] = folder.name
        yield from make(crew, work, pieces, folder, name, note)
        now[0] = f"after {folder.name}"

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with patch.object(Crew, "make", note):
        yield
    stop.set()
    watcher.join()


def tokenize_here(num: int, folder: Path) -> dict[str, float]:
    """Tokenize so many documents of a few words, of two domains, in parts of 4 MB."""
    from k2core.store import Draft, Store
    from k2core.tokenize import tokenize_corpora
    from schemas.artifacts import CleanCorpus
    from schemas.placement import Placement
    from schemas.tokenize import TokenizeConfig

    store = Store(folder / "store")
    workspace = store.workspace("clean")
    (workspace.out / "kept").mkdir()
    for first in range(0, num, _SHARD):
        path = workspace.out / "kept" / f"{first // _SHARD:05d}.parquet"
        _draw_documents(first, min(num, first + _SHARD)).write_parquet(path)
    (workspace.out / "sources.json").write_text("{}")
    clean = store.publish(CleanCorpus, Draft(workspace.out, {}))
    config = TokenizeConfig(
        vocab_size=350, mixture={"knowledge": 0.5, "code": 0.5}, train_tokens=4 * num
    )
    peaks: dict[str, float] = defaultdict(float)
    with patch("k2core.tokenize.write.PART_BYTES", 4_000_000), watching(peaks):
        tokenize_corpora(config, clean, None, store.workspace("tokens"), Placement())
    return peaks


def _draw_documents(first: int, stop: int) -> pl.DataFrame:
    rng = np.random.default_rng(first)
    words = np.array([f"word{n}" for n in range(1000)])
    texts = [" ".join(row) for row in words[rng.integers(0, 1000, (stop - first, 5))]]
    frame = pl.DataFrame({"text": texts}).with_row_index("number", first)
    return frame.select(
        doc_id=pl.format("{}", pl.col("number").hash(1)).str.slice(0, 16).str.zfill(16),
        source=pl.lit("drawn"),
        path=pl.format("{}", "number"),
        domain=(pl.col("number") % 2).replace_strict({0: "code", 1: "knowledge"}),
        format=pl.lit("text"),
        license=pl.lit("CC0-1.0"),
        digest=pl.lit("0" * 64),
        text="text",
    )


def clean_here(num: int, folder: Path) -> dict[str, float]:
    """Decide on so many documents whose texts nobody has."""
    from k2core.clean.decisions import plan_shards
    from k2core.pieces import Crew, Made
    from k2core.store import Store
    from schemas.clean import CleanConfig, Deduplication

    store = Store(folder / "store")
    workspace = store.workspace("clean")
    config = CleanConfig(deduplication=Deduplication(num_bands=4, num_rows=2))
    judged = []
    for first in range(0, num, _SHARD):
        place = workspace.scratch / "judged" / f"{first // _SHARD:06d}"
        draw_judged(first, min(num, first + _SHARD), place)
        judged.append(Made(place, store))
    peaks: dict[str, float] = defaultdict(float)
    small = {"groups._AT_ONCE": 100_000, "groups._LINES": 50_000, "found._TOGETHER": 100_000}
    with ExitStack() as stack:
        for name, value in small.items():  # what is bounded anyway is not to be seen
            stack.enter_context(patch(f"k2core.clean.{name}", value))
        stack.enter_context(watching(peaks))
        plan_shards(config, judged, Crew(workspace, 0), workspace.scratch)
    return peaks


def draw_judged(first: int, stop: int, folder: Path) -> None:
    """Signatures of which one in ten is another's, in the whole corpus; half are exact copies."""
    from k2core.clean.signatures import make_bands, save_array
    from schemas.clean import Deduplication

    folder.mkdir(parents=True, exist_ok=True)
    num, rng = stop - first, np.random.default_rng(first)
    names = np.arange(first, stop)
    repeats = (rng.random(num) < _REPEATED) & (names > 0)
    copied = np.where(repeats, rng.integers(0, np.maximum(1, names)), names)
    exact = np.where(rng.random(num) < 0.5, copied, names)
    signatures = np.stack([_mix(copied, salt).astype(np.uint32) for salt in range(8)], axis=1)
    digests = [_mix(exact, 100 + part) for part in range(4)]
    ranks = _mix(names, 200) >> np.uint64(32)
    lines = [np.arange(num), _mix(names, 300), np.ones(num), *digests, ranks]
    lines += list(make_bands(signatures, Deduplication(num_bands=4, num_rows=2)))
    save_array(folder / "judged.keys.npy", np.stack([each.astype(np.uint64) for each in lines]))
    save_array(folder / "judged.signatures.npy", signatures)
    outline = {
        "doc_id": [f"{n:016x}" for n in lines[1].tolist()],
        "num_bytes": rng.integers(200, 20_000, num),
        "dropped": np.zeros(num, bool),
        "rule": [""] * num,
        "sampled_out": np.zeros(num, bool),
    }
    pl.DataFrame(outline).write_parquet(folder / "outline.parquet")


def _mix(values: NDArray[np.integer], salt: int) -> NDArray[np.uint64]:
    """64 bits of each, as good as drawn (splitmix64)."""
    z = values.astype(np.uint64) + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    if arguments[:1] == ["--here"]:
        stage, num, folder = arguments[1:]
        work = {"tokenize": tokenize_here, "clean": clean_here}[stage]
        sys.stdout.write(json.dumps(work(int(num), Path(folder))) + "\n")
        return
    sizes = [int(each) for each in arguments if each.isdigit()] or _DOCUMENTS
    few, many = min(sizes), max(sizes)
    table = Table("stage", "pass", f"{few:,}", f"{many:,}", "bytes a document more")
    for stage in [each for each in arguments if each in _STAGES] or _STAGES:
        less, more = measure(stage, few), measure(stage, many)
        for name in (each for each in more if each in less):
            grown = f"{(more[name] - less[name]) * 1e6 / (many - few):.1f}"
            table.add_row(stage, name, f"{less[name]:.0f} MB", f"{more[name]:.0f} MB", grown)
    Console(width=100).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
