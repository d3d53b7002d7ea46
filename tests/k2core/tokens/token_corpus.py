"""A token corpus made by hand: document d of a domain is the number 100 * d, counted up from it."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from k2core.tokens import write_ids, write_indexed
from schemas.tokenize import TokenDomain, TokenManifest, TokenPart

END = 9
SPLITS = ("train", "heldout")


def write_corpus(
    folder: Path,
    lengths: Mapping[str, Sequence[int]],
    budgets: Mapping[str, int],
    most: int = 10**9,
) -> None:
    """A corpus in parts of at most so many documents."""
    domains = {}
    for name, sizes in lengths.items():
        parts = {split: write_split(folder, split, name, sizes, most) for split in SPLITS}
        domains[name] = TokenDomain(
            weight=1 / len(lengths),
            budget_tokens=budgets[name],
            train_tokens=sum(sizes),
            epochs=budgets[name] / sum(sizes),
            heldout_tokens=sum(sizes),
            num_train_documents=len(sizes),
            num_heldout_documents=len(sizes),
            train_parts=parts["train"],
            heldout_parts=parts["heldout"],
        )
    manifest = TokenManifest(vocab_size=2048, end_id=END, domains=domains)
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def write_split(
    folder: Path, split: str, domain: str, sizes: Sequence[int], most: int
) -> tuple[TokenPart, ...]:
    documents = [np.append(100 * d + 10 + np.arange(n - 1), END) for d, n in enumerate(sizes)]
    parts = list[TokenPart]()
    for start in range(0, len(sizes), most):
        some = documents[start : start + most]
        name = f"{split}/{domain}/{len(parts):06d}"
        parts.append(TokenPart(name, len(some), sum(write_indexed(folder / name, some, 2048))))
        write_ids(folder / name, [f"{domain}{start + d}" for d in range(len(some))])
    return tuple(parts)


def megatrons_own() -> ModuleType:
    """Its module of datasets; our package comes first, for Megatron runs without CUDA by it."""
    import_module("k2core.engines.megatron")
    return import_module("megatron.core.datasets.indexed_dataset")
