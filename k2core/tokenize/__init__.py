"""Tokenize: a byte-level BPE, and the mixture as Megatron IndexedDatasets."""

import json

from k2core.passes import Passes
from k2core.pieces import gather_crew, take_made
from k2core.store import Draft, Workspace
from k2core.tokenize.encode import encode_shards
from k2core.tokenize.mixture import select_documents
from k2core.tokenize.show import show_mixture
from k2core.tokenize.texts import TRAINING, find_shards
from k2core.tokenize.vocabulary import copy_tokenizer, load_tokenizer, train_tokenizer
from k2core.tokenize.write import write_domains
from schemas.artifacts import Checkpoint, CleanCorpus, RephrasedCorpus
from schemas.placement import Placement
from schemas.tokenize import TokenizeConfig

__all__ = ["tokenize_corpora"]

_PASSES = {
    "sizes": 0.05,
    "sample": 0.3,
    TRAINING: 0.4,
    "encoded": 1.0,
    "chosen": 0.05,
    "placed": 0.2,
    "closing": 0.2,
}
"""What part of the stage's time each takes."""


def tokenize_corpora(
    config: TokenizeConfig,
    clean: CleanCorpus,
    rephrased: RephrasedCorpus | None,
    workspace: Workspace,
    placement: Placement,
    tokenizer: Checkpoint | None = None,
) -> Draft:
    """Train the tokenizer, encode both corpora and write the mixture, as a `TokenCorpus`.

    Args:
        config: vocabulary and mixture.
        clean: the texts.
        rephrased: their rewrites, if there are any.
        workspace: where it happens.
        placement: of which `data_workers` counts.
        tokenizer: a model whose tokenizer is taken; without it one is trained.

    Raises:
        TableError: a shard is corrupt.
        InputsError: too little text for the vocabulary or for the mixture.
    """
    store, corpora = workspace.store, [corpus for corpus in (clean, rephrased) if corpus]
    passes = Passes(workspace.report, _PASSES)
    shards = find_shards(*map(store.list_files, corpora))
    with gather_crew(workspace, placement.data_workers, passes) as crew:
        if tokenizer is None:
            folder = train_tokenizer(config, shards, crew, workspace)
        else:
            folder = copy_tokenizer(workspace.open(tokenizer), workspace.out)
        encoded = encode_shards(folder, shards, crew, workspace.scratch)
        trained = load_tokenizer(folder)
        selected = select_documents(config, encoded, crew, workspace.scratch)
        manifest, pieces = write_domains(selected, encoded, trained, crew, workspace)
    (workspace.out / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")
    sources = {}
    for corpus in corpora:
        sources.update(json.loads(store.open_file(corpus, "sources.json").read_bytes()))
    text = json.dumps(sources, indent=1, sort_keys=True) + "\n"
    (workspace.out / "sources.json").write_text(text)
    show_mixture(manifest, encoded, workspace.report)
    domains = manifest.domains.values()
    counts = {
        "documents": sum(domain.num_train_documents for domain in domains),
        "train_tokens": sum(domain.budget_tokens for domain in domains),
        "heldout_tokens": sum(domain.heldout_tokens for domain in domains),
        "vocab_size": manifest.vocab_size,
    }
    named = [(made, {name: name for name in made.names()}) for made in pieces]
    return take_made(workspace, {name: float(count) for name, count in counts.items()}, named)
