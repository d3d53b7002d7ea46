"""The planned documents as Megatron IndexedDatasets, and the manifest."""

from pathlib import Path

from k2core.tokenize.encode import Encoded
from k2core.tokenize.mixture import DomainPlan
from schemas.tokenize import TokenDomain, TokenizeConfig, TokenManifest


def write_domains(
    config: TokenizeConfig,
    plan: dict[str, DomainPlan],
    encoded: Encoded,
    end_id: int,
    out: Path,
) -> TokenManifest:
    """Write `train/` and `heldout/`."""
    from k2core.engines.megatron.indexed import write_indexed

    domains = {}
    for name, (budget, train, held_out) in plan.items():
        num_tokens = {}
        for split, doc_ids in (("train", train), ("heldout", held_out)):
            sequences = encoded.read(doc_ids)
            num_tokens[split] = sum(write_indexed(out / split / name, sequences, config.vocab_size))
        domains[name] = TokenDomain(
            weight=config.mixture[name],
            budget_tokens=budget,
            train_tokens=num_tokens["train"],
            epochs=round(budget / num_tokens["train"], 6),
            heldout_tokens=num_tokens["heldout"],
            train_documents=train,
            heldout_documents=held_out,
        )
    return TokenManifest(vocab_size=config.vocab_size, end_id=end_id, domains=domains)
