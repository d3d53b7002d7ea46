"""A token corpus made by hand: document d of a domain is the number 100 * d, counted up from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from k2core.engines.megatron.indexed import write_indexed
from k2core.tokens import write_ids
from schemas.tokenize import TokenDomain, TokenManifest

END = 9


def write_corpus(
    folder: Path, lengths: Mapping[str, Sequence[int]], budgets: Mapping[str, int]
) -> None:
    domains = {}
    for name, sizes in lengths.items():
        documents = [np.append(100 * d + 10 + np.arange(n - 1), END) for d, n in enumerate(sizes)]
        for split in ("train", "heldout"):
            write_indexed(folder / split / name, documents, 2048)
            write_ids(folder / split / name, [f"{name}{d}" for d in range(len(sizes))])
        domains[name] = TokenDomain(
            weight=1 / len(lengths),
            budget_tokens=budgets[name],
            train_tokens=sum(sizes),
            epochs=budgets[name] / sum(sizes),
            heldout_tokens=sum(sizes),
            num_train_documents=len(sizes),
            num_heldout_documents=len(sizes),
        )
    manifest = TokenManifest(vocab_size=2048, end_id=END, domains=domains)
    (folder / "manifest.json").write_text(manifest.model_dump_json())
