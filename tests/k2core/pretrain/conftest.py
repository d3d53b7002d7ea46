import json
import struct
from pathlib import Path

import numpy as np
import pytest

from k2core.store import Draft, Store
from k2core.tokens import write_ids
from schemas.artifacts import TokenCorpus
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig
from schemas.tokenize import TokenDomain, TokenManifest
from tests.k2core.shapes import tiny_shape


def write_indexed(prefix: Path, documents: list[np.ndarray]) -> None:
    """A Megatron IndexedDataset of uint16 documents."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.array([len(d) for d in documents], "<i4")
    offsets = np.concatenate([[0], np.cumsum(lengths[:-1], dtype="<i8") * 2]).astype("<i8")
    header = struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 8, len(documents), len(documents) + 1)
    ends = np.arange(len(documents) + 1, dtype="<i8")
    prefix.with_suffix(".idx").write_bytes(
        header + lengths.tobytes() + offsets.tobytes() + ends.tobytes()
    )
    prefix.with_suffix(".bin").write_bytes(np.concatenate(documents).astype("<u2").tobytes())


def write_corpus(folder: Path) -> dict[str, float]:
    """Counting in steps of one to three: learnable in a few steps."""
    rng = np.random.default_rng(0)
    documents = [
        (rng.integers(0, 300) + rng.integers(1, 4) * np.arange(rng.integers(20, 60))) % 300
        for _ in range(40)
    ]
    tokens = sum(len(d) for d in documents)
    write_indexed(folder / "train" / "math", documents)
    write_indexed(folder / "heldout" / "math", documents[:2])
    write_ids(folder / "train" / "math", [f"doc{i}" for i in range(40)])
    write_ids(folder / "heldout" / "math", ["a", "b"])
    domain = TokenDomain(
        weight=1.0,
        budget_tokens=tokens,
        train_tokens=tokens,
        epochs=1.0,
        heldout_tokens=sum(len(d) for d in documents[:2]),
        num_train_documents=40,
        num_heldout_documents=2,
    )
    manifest = TokenManifest(vocab_size=300, end_id=0, domains={"math": domain})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps({"added_tokens": []}))
    return {"tokens": tokens}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def corpus(store: Store, tmp_path: Path) -> TokenCorpus:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return store.publish(TokenCorpus, Draft(folder, write_corpus(folder)))


@pytest.fixture
def shape() -> ModelShape:
    return tiny_shape(vocab_size=300)


@pytest.fixture
def config() -> PretrainConfig:
    return PretrainConfig(
        optim=OptimConfig(lr=1e-2, qk_clip_tau=1e-4),
        schedule=Schedule(num_steps=12),
        sequence_length=16,
        batch_size=4,
        checkpoint_every=3,
    )


@pytest.fixture
def placement() -> Placement:
    return Placement(num_ranks=2, micro_batch=2)
