"""Real text as bytes: what the experiments on the optimizer read.

Wikipedia extracts and modules of Python's standard library, as `k2core.ingest` collects them. A
byte is a token: no tokenizer stands between two optimizers, and losses are nats a byte.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.ingest.collect import choose_items
from k2core.ingest.sources import list_sources
from schemas.ingest import IngestConfig
from workflows.ablations.configs import TextConfig

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch

END = 256
"""Follows every document."""


class ByteText(NamedTuple):
    """Documents end to end."""

    train: NDArray[np.uint16]
    heldout: NDArray[np.uint16]
    """Of other documents."""


def open_text(config: TextConfig, folder: Path) -> ByteText:
    """The text, read from `folder`, where it is kept once collected (about 14 MB, seconds)."""
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]
    path = folder / f"bytes-{digest}.npz"
    if not path.exists():
        text = collect_text(config)
        folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".aside.npz")
        np.savez(aside, train=text.train, heldout=text.heldout)
        aside.rename(path)
    with np.load(path) as kept:
        return ByteText(kept["train"], kept["heldout"])


def collect_text(config: TextConfig) -> ByteText:
    """Sample the documents and set a share of them aside, by the hash of their text.

    Raises:
        SourceError: a source is not installed.
    """
    wanted = IngestConfig(
        seed=config.seed,
        num_knowledge=config.num_knowledge,
        num_code=config.num_code,
        num_web=0,
        num_math=0,
        num_tables=0,
        num_tool_specs=0,
    )
    items = [i for source in list_sources(wanted) for i in choose_items(wanted, source)]
    documents = [item.read().encode() for item in items]
    order = np.random.default_rng(config.seed).permutation(len(documents))
    parts: tuple[list[NDArray[np.uint16]], list[NDArray[np.uint16]]] = ([], [])
    for index in order:
        document = documents[index]
        drawn = int.from_bytes(hashlib.sha256(document).digest()[:4], "little") / 2**32
        encoded = np.append(np.frombuffer(document, np.uint8).astype(np.uint16), np.uint16(END))
        parts[drawn < config.heldout_frac].append(encoded)
    train, heldout = (np.concatenate(part) for part in parts)
    return ByteText(train, heldout)


def draw_batch(text: NDArray[np.uint16], rows: int, width: int, seed: tuple[int, ...]) -> "Batch":
    """Windows at random places [rows, width]; equal seeds give equal windows to every arm."""
    import torch

    from k2core.engines.megatron.batch import Batch

    starts = np.random.default_rng(seed).integers(0, len(text) - width, rows)
    windows = np.stack([text[start : start + width + 1] for start in starts]).astype(np.int64)
    tokens = torch.from_numpy(windows)  # b s+1
    whole = torch.zeros(rows, width, dtype=torch.int64)  # a row is one segment
    return Batch(tokens[:, :-1], tokens[:, 1:], torch.ones(rows, width), whole)
