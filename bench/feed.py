"""What feeding a rank costs, from the tiny recipe's corpus to 15.5 T tokens.

Corpora are made up: files of the right sizes, sparse, behind true indices. Each row is a process of
its own that opens the stream as `pretrain` does and reads its rows of three steps.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from k2core.tokenize.write import PART_BYTES
from k2core.tokens import BYTES_A_DOCUMENT, TokenStream, token_type, write_ids, write_index
from schemas.tokenize import TokenDomain, TokenManifest, TokenPart

_TITLE = "What feeding a rank costs"
_LONGEST = 2**30
"""Tokens of a document at most: an index of 15.5 T tokens in documents of 1,000 is 186 GB."""


class Corpus(NamedTuple):
    """A token corpus that is only large."""

    name: str
    tokens: int
    """Of all domains together, each read once."""
    documents: int
    """Of all domains together, at least."""
    vocab_size: int
    sequence_length: int
    rows: int
    """Of a step's global batch, that one rank reads."""


CORPORA = (
    Corpus("tiny", 2_600_000, 22_000, 2_048, 256, 4),
    Corpus("a day on one GPU", 10**10, 10**7, 32_768, 2_048, 64),
    Corpus("1 T tokens", 10**12, 10**6, 163_840, 4_096, 32),
    Corpus("k2_1t", 15_500 * 10**9, 10**6, 163_840, 4_096, 32),
    Corpus("k2_1t, 30 documents for 1", 15_500 * 10**9, 3 * 10**7, 163_840, 4_096, 32),
)
_DOMAINS = ("books", "code", "knowledge", "math", "web", "web2")
"""Equal ones."""


class Cost(NamedTuple):
    """Of one rank."""

    samples: int
    opened: float
    """Seconds to open the stream."""
    step: float
    """Seconds to read its rows of a step."""
    memory: int
    """Bytes of its own that the process grew by."""
    pages: int
    """Bytes of files mapped into it by then, which the system takes back when it needs to."""


def write_corpus(corpus: Corpus, folder: Path) -> None:
    """Sparse tokens, true indices, names of the first documents alone."""
    domains = {}
    share = 1 / len(_DOMAINS)
    for name in _DOMAINS:
        tokens = round(corpus.tokens * share)
        documents = max(round(corpus.documents * share), -(-tokens // _LONGEST))
        lengths = np.full(documents, tokens // documents, np.int64)
        lengths[: tokens % documents] += 1
        train = _write_parts(folder, f"train/{name}", lengths, corpus.vocab_size)
        heldout = _write_parts(folder, f"heldout/{name}", lengths[-1:], corpus.vocab_size)
        domains[name] = TokenDomain(
            weight=share,
            budget_tokens=tokens,
            train_tokens=tokens,
            epochs=1.0,
            heldout_tokens=int(lengths[-1]),
            num_train_documents=documents,
            num_heldout_documents=1,
            train_parts=train,
            heldout_parts=heldout,
        )
    manifest = TokenManifest(vocab_size=corpus.vocab_size, end_id=0, domains=domains)
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def _write_parts(
    folder: Path, shard: str, lengths: NDArray[np.int64], vocab_size: int
) -> tuple[TokenPart, ...]:
    """A shard's parts, of as many documents as tokenize would put into each, about."""
    width, parts = token_type(vocab_size).itemsize, []
    together = max(1, PART_BYTES // (int(lengths[0]) * width + BYTES_A_DOCUMENT))
    for number, start in enumerate(range(0, len(lengths), together)):
        some = lengths[start : start + together]
        parts.append(TokenPart(f"{shard}/{number:06d}", len(some), int(some.sum())))
        prefix = folder / parts[-1].name
        size = write_index(prefix, some, vocab_size)
        with prefix.with_suffix(".bin").open("wb") as file:
            file.truncate(size)
    write_ids(folder / parts[0].name, [f"{shard}-{n}" for n in range(min(len(lengths), 1000))])
    return tuple(parts)


def measure(corpus: Corpus, folder: Path) -> Cost:
    """In a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_here, (corpus, folder))


def _measure_here(corpus: Corpus, folder: Path) -> Cost:
    before, started = _resident(), time.perf_counter()
    stream = TokenStream(folder, 0, corpus.sequence_length)
    opened, steps = time.perf_counter() - started, 3
    started = time.perf_counter()
    for step in range(steps):
        first = step * stream.num_samples // steps
        rows = [stream.sample(first + row) for row in range(corpus.rows)]
        np.stack([row.tokens for row in rows])
    seconds = (time.perf_counter() - started) / steps
    memory, pages = (after - b for after, b in zip(_resident(), before, strict=True))
    return Cost(stream.num_samples, opened, seconds, memory, pages)


def _resident() -> tuple[int, int]:
    """Bytes of this process in memory: its own, and of mapped files."""
    said = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    own, files = (int(said[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return own, files


def main(scratch: Path | None = None) -> None:
    """Print the table, and a line a corpus."""
    columns = (
        "corpus",
        "samples",
        "documents",
        "open, s",
        "a step's rows, s",
        "memory, MB",
        "file pages, MB",
    )
    table, lines = Table(*columns, title=_TITLE), []
    for corpus in CORPORA:
        with tempfile.TemporaryDirectory(prefix="k2-feed-", dir=scratch) as name:
            write_corpus(corpus, Path(name))
            cost = measure(corpus, Path(name))
        lines.append({"corpus": corpus.name, **cost._asdict()})
        table.add_row(
            corpus.name,
            f"{cost.samples:,}",
            f"{corpus.documents:,}",
            f"{cost.opened:.3f}",
            f"{cost.step:.3f} ({corpus.rows} rows)",
            f"{cost.memory / 1e6:.1f}",
            f"{cost.pages / 1e6:.1f}",
        )
    Console().print(table)
    for line in lines:
        print(json.dumps(line))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, help="where files of 62 TB, sparse, may be made")
    main(parser.parse_args().scratch)
