"""Tokenize: a byte-level BPE, and the mixture as Megatron IndexedDatasets."""

import json

from k2core.store import Draft, Workspace
from k2core.tokenize.encode import encode_shards
from k2core.tokenize.mixture import select_documents
from k2core.tokenize.show import show_mixture
from k2core.tokenize.texts import find_shards
from k2core.tokenize.vocabulary import copy_tokenizer, load_tokenizer, train_tokenizer
from k2core.tokenize.write import write_domains
from schemas.artifacts import Checkpoint, CleanCorpus, RephrasedCorpus
from schemas.tokenize import TokenizeConfig

__all__ = ["tokenize_corpora"]


def tokenize_corpora(
    config: TokenizeConfig,
    clean: CleanCorpus,
    rephrased: RephrasedCorpus | None,
    workspace: Workspace,
    tokenizer: Checkpoint | None = None,
) -> Draft:
    """Train the tokenizer, encode both corpora and write the mixture, as a `TokenCorpus`.

    Args:
        config: vocabulary and mixture.
        clean: the texts.
        rephrased: their rewrites, if there are any.
        workspace: where it happens.
        tokenizer: a model whose tokenizer is taken; without it one is trained.

    Raises:
        TableError: a shard is corrupt.
        InputsError: too little text for the vocabulary or for the mixture.
    """
    corpora = [workspace.open(corpus) for corpus in (clean, rephrased) if corpus is not None]
    shards = find_shards(*corpora)
    if tokenizer is None:
        folder = train_tokenizer(config, shards, workspace)
    else:
        folder = copy_tokenizer(workspace.open(tokenizer), workspace.out)
    trained = load_tokenizer(folder)
    encoded = encode_shards(trained, shards, workspace)
    selected = select_documents(config, encoded)
    manifest = write_domains(config, selected, encoded, trained, workspace.out)
    (workspace.out / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")
    sources = {}
    for corpus in corpora:
        sources.update(json.loads((corpus / "sources.json").read_bytes()))
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
    return Draft(workspace.out, {name: float(count) for name, count in counts.items()})
