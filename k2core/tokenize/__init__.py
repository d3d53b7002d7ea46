"""Tokenize: a byte-level BPE, and the mixture as Megatron IndexedDatasets."""

import json

from k2core.store import Draft, Workspace
from k2core.tokenize.encode import encode_shards
from k2core.tokenize.mixture import select_documents
from k2core.tokenize.show import show_mixture
from k2core.tokenize.texts import find_shards
from k2core.tokenize.vocabulary import end_of_document, load_tokenizer, train_tokenizer
from k2core.tokenize.write import write_domains
from schemas.artifacts import CleanCorpus, RephrasedCorpus
from schemas.tokenize import TokenizeConfig

__all__ = ["tokenize_corpora"]


def tokenize_corpora(
    config: TokenizeConfig, clean: CleanCorpus, rephrased: RephrasedCorpus, workspace: Workspace
) -> Draft:
    """Train the tokenizer, encode both corpora and write the mixture, as a `TokenCorpus`.

    Raises:
        TableError: a shard is corrupt.
        ValueError: too little text for the vocabulary or for the mixture.
    """
    corpora = [workspace.open(clean), workspace.open(rephrased)]
    shards = find_shards(*corpora)
    folder = train_tokenizer(config, shards, workspace)
    tokenizer = load_tokenizer(folder)
    encoded = encode_shards(tokenizer, shards, workspace)
    selected = select_documents(config, encoded)
    manifest = write_domains(config, selected, encoded, end_of_document(tokenizer), workspace.out)
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
        "vocab_size": config.vocab_size,
    }
    return Draft(workspace.out, {name: float(count) for name, count in counts.items()})
