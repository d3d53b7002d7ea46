"""The selected documents as Megatron IndexedDatasets, and the manifest."""

from contextlib import ExitStack
from pathlib import Path

from tokenizers import Tokenizer

from k2core.tokenize.encode import Encoded
from k2core.tokenize.mixture import Selection
from k2core.tokenize.vocabulary import end_of_document
from k2core.tokens import write_ids
from schemas.tokenize import TokenDomain, TokenizeConfig, TokenManifest


def write_domains(
    config: TokenizeConfig,
    selected: dict[str, Selection],
    encoded: Encoded,
    tokenizer: Tokenizer,
    out: Path,
) -> TokenManifest:
    """Write `train/` and `heldout/`, all domains at once: the encoded shards are read once."""
    from k2core.engines.megatron.indexed import IndexedWriter

    vocab_size = tokenizer.get_vocab_size()
    parts = {
        out / split / name: documents
        for name, (_, _, train, held_out) in selected.items()
        for split, documents in (("train", train), ("heldout", held_out))
    }
    with ExitStack() as stack:
        writers = [stack.enter_context(IndexedWriter(p, vocab_size)) for p in parts]
        for place, tokens in encoded.read(list(parts.values())):
            writers[place].add(tokens)
    for prefix, documents in parts.items():
        write_ids(prefix, documents["doc_id"])
    domains = {}
    for name, (share, budget, train, held_out) in selected.items():
        train_tokens = int(train["num_tokens"].sum())
        domains[name] = TokenDomain(
            weight=share,
            budget_tokens=budget,
            train_tokens=train_tokens,
            epochs=round(budget / train_tokens, 6),
            heldout_tokens=int(held_out["num_tokens"].sum()),
            num_train_documents=len(train),
            num_heldout_documents=len(held_out),
        )
    end_id = end_of_document(tokenizer)
    return TokenManifest(vocab_size=vocab_size, end_id=end_id, domains=domains)
