import json
from pathlib import Path

import numpy as np
import pytest

from k2core.store import Draft, Store
from k2core.tokens import write_ids, write_indexed
from schemas.artifacts import TokenCorpus
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig
from schemas.tokenize import TokenDomain, TokenManifest, TokenPart
from tests.k2core.shapes import tiny_shape


def write_part(folder: Path, name: str, documents: list[np.ndarray]) -> TokenPart:
    write_indexed(folder / name, documents, 300)
    write_ids(folder / name, [f"doc{i}" for i in range(len(documents))])
    return TokenPart(name, len(documents), sum(map(len, documents)))


def write_corpus(folder: Path) -> dict[str, float]:
    """Counting in steps of one to three: learnable in a few steps."""
    rng = np.random.default_rng(0)
    documents = [
        (rng.integers(0, 300) + rng.integers(1, 4) * np.arange(rng.integers(20, 60))) % 300
        for _ in range(40)
    ]
    tokens = sum(len(d) for d in documents)
    train = write_part(folder, "train/math/000000", documents)
    heldout = write_part(folder, "heldout/math/000000", documents[:2])
    domain = TokenDomain(
        weight=1.0,
        budget_tokens=tokens,
        train_tokens=tokens,
        epochs=1.0,
        heldout_tokens=heldout.num_tokens,
        num_train_documents=40,
        num_heldout_documents=2,
        train_parts=(train,),
        heldout_parts=(heldout,),
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
