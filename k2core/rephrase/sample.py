"""Which documents are rewritten: a seeded sample of each domain, in one pass over the shards."""

import hashlib
import heapq
from pathlib import Path
from typing import NamedTuple

import polars as pl

from schemas.corpus import Document
from schemas.errors import InputsError
from schemas.rephrase import RephraseConfig


class RewriteSource(NamedTuple):
    """A document to rewrite: a row of `Document`."""

    doc_id: str
    source: str
    path: str
    domain: str
    license: str
    text: str


def sample_documents(config: RephraseConfig, shards: Path) -> list[RewriteSource]:
    """Draw `config.documents` by the hash of seed and id: the draw does not depend on sharding.

    Raises:
        InputsError: a domain has no document of the right length.
    """
    drawn: dict[str, list[tuple[int, str, RewriteSource]]] = {d: [] for d in config.documents}
    paths = sorted(shards.glob("*.parquet"))
    for path in paths:
        frame = Document.validate(pl.read_parquet(path))
        for row in frame.select(RewriteSource._fields).iter_rows(named=True):
            document = RewriteSource(**row)
            if document.domain in drawn and fits(config, document.text):
                key = -_draw(config.seed, document.doc_id)
                heap = drawn[document.domain]
                heapq.heappush(heap, (key, document.doc_id, document))
                if len(heap) > config.documents[document.domain]:
                    heapq.heappop(heap)
    for domain, count in config.documents.items():
        if count and not drawn[domain]:
            raise InputsError(
                f"rephrase.documents asks for {count} of {domain}, and {len(paths)} shards of the "
                f"clean corpus have none of {config.min_words} to {config.max_words or 'any'} words"
            )
    chosen = [entry for heap in drawn.values() for entry in heap]
    return [document for _, _, document in sorted(chosen, reverse=True)]


def fits(config: RephraseConfig, text: str) -> bool:
    """Whether a document's length is one that is rewritten."""
    words = len(text.split())
    return config.min_words <= words and (config.max_words is None or words <= config.max_words)


def _draw(seed: int, doc_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{doc_id}".encode()).digest()[:8], "big")
