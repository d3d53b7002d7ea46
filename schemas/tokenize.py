"""Vocabulary and mixture, and the manifest by which every sample is traced to its documents."""

import math
from dataclasses import dataclass
from typing import Self

from pydantic import Field, field_validator, model_validator

from schemas.base import Config
from schemas.corpus import DomainName


class TokenizeConfig(Config):
    """A byte-level BPE, and how much of each domain the model reads."""

    vocab_size: int = Field(2048, ge=300)
    """Tokens in all, special tokens included; must equal the model's."""
    mixture: dict[DomainName, float] = Field(
        {"knowledge": 0.25, "web": 0.15, "code": 0.2, "math": 0.4}
    )
    """Share of the training tokens by domain, 1 in all. A domain left out is not read; `{}` reads
    every domain that there is, by how much there is of it."""
    train_tokens: int | None = Field(1_000_000, ge=1_000)
    """Training tokens in all, met by reading part of a domain (rewrites first) or by repetition;
    none: as many as there are."""
    max_epochs: float = Field(8.0, gt=0)
    """The most that a domain may be repeated; beyond it the mixture is an error."""
    heldout_frac: float = Field(0.02, gt=0, lt=0.5)
    """Share of each domain's documents kept for perplexity, at least one; their rewrites go."""

    @field_validator("mixture")
    @classmethod
    def _sums_to_one(cls, mixture: dict[str, float]) -> dict[str, float]:
        if negative := {name: share for name, share in mixture.items() if share < 0}:
            raise ValueError(f"negative shares {negative}: a share is between 0 and 1")
        total = math.fsum(mixture.values())
        if mixture and abs(total - 1) > 1e-6:
            raise ValueError(
                f"the shares sum to {total:.6g}, not 1: divide each by {total:.6g} or change one"
            )
        return mixture


@dataclass(frozen=True, slots=True)
class TokenPart:
    """Neighbouring documents of a domain: a Megatron IndexedDataset that can be read alone.

    Not a `Config`, whose objects take three times the memory: a large corpus has 100,000 parts.
    """

    name: str
    """`SPLIT/DOMAIN/NUMBER`: `NAME.bin` and `NAME.idx` below the corpus, and `NAME.parquet` with
    each document's `doc_id`, in order."""
    num_documents: int
    """Its sequences."""
    num_tokens: int
    """Of them all."""


class TokenDomain(Config):
    """One domain of a token corpus: its documents are those of its parts, end to end."""

    weight: float = Field(ge=0, le=1)
    """Its share of the training tokens, as configured."""
    budget_tokens: int = Field(ge=0)
    """Training tokens to read of it, repetitions included."""
    train_tokens: int = Field(ge=0)
    """Tokens of `train_parts`: one epoch."""
    epochs: float = Field(ge=0)
    """`budget_tokens` / `train_tokens`; at most 1 where the domain was down-sampled."""
    heldout_tokens: int = Field(ge=0)
    """Tokens of `heldout_parts`."""
    num_train_documents: int = Field(ge=0)
    """Sequences of `train_parts`."""
    num_heldout_documents: int = Field(ge=0)
    """Sequences of `heldout_parts`."""
    train_parts: tuple[TokenPart, ...]
    """In order; samples do not depend on where one ends and the next begins."""
    heldout_parts: tuple[TokenPart, ...]
    """In order; none if nothing is held out."""

    @model_validator(mode="after")
    def _parts_are_all(self) -> Self:
        for split, parts, documents, tokens in (
            ("train", self.train_parts, self.num_train_documents, self.train_tokens),
            ("heldout", self.heldout_parts, self.num_heldout_documents, self.heldout_tokens),
        ):
            found = sum(p.num_documents for p in parts), sum(p.num_tokens for p in parts)
            if found != (documents, tokens):
                raise ValueError(
                    f"{split}_parts hold {found[0]} documents and {found[1]} tokens, and the "
                    f"domain says {documents} and {tokens}"
                )
        return self


class TokenManifest(Config):
    """`manifest.json` of a token corpus."""

    vocab_size: int
    """Tokens of the tokenizer, special tokens included."""
    end_id: int
    """The token that ends every document."""
    domains: dict[str, TokenDomain]
    """By name."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not any(domain.budget_tokens for domain in self.domains.values()):
            raise ValueError("no domain has training tokens")
        return self
