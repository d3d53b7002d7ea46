"""Small raw corpora, published into a store."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from k2core.store import Draft, Store
from k2core.tables import write_shard
from schemas.artifacts import RawCorpus
from schemas.corpus import Document

PROSE = (
    "The {0} is one of the oldest instruments of {1} that have come down to us, and it was played "
    "with both hands by people who lived near some river. Its parts are {2} and a box made of wood "
    "from hills to its north. Today you can see it in a museum, next to its copy in bronze."
)
WORDS = ("harp", "valley", "frame", "flute", "desert", "body", "drum", "coast", "skin", "lyre")


def prose(number: int) -> str:
    """A paragraph of its own that breaks no rule."""
    own = (hashlib.sha256(f"{number} {k}".encode()).hexdigest()[:5] for k in range(40))
    parts = " ".join(f"{WORDS[k % 10]}{letters}" for k, letters in enumerate(own))
    return PROSE.format(WORDS[number % 10], f"{WORDS[number // 10 % 10]}land", parts)


def document(path: str, text: str, domain: str = "knowledge", form: str = "text") -> dict[str, str]:
    return {
        "doc_id": hashlib.sha256(path.encode()).hexdigest()[:16],
        "source": "test",
        "path": path,
        "domain": domain,
        "format": form,
        "license": "MIT",
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "text": text,
    }


def publish_raw(store: Store, rows: Sequence[dict[str, str]], shard_documents: int) -> RawCorpus:
    workspace = store.workspace(f"raw{shard_documents}")
    for number in range(0, len(rows), shard_documents):
        path = workspace.out / "documents" / f"{number:05d}.parquet"
        write_shard(path, Document, rows[number : number + shard_documents])
    (workspace.out / "sources.json").write_text(json.dumps({"test": {"license": "MIT"}}))
    return store.publish(RawCorpus, Draft(workspace.out, {}))


def read_folder(folder: Path) -> list[dict[str, object]]:
    shards = sorted(folder.glob("*.parquet"))
    return pl.concat([pl.read_parquet(path) for path in shards]).to_dicts() if shards else []
