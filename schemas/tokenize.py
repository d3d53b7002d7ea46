"""Vocabulary and mixture, and the manifest by which every sample is traced to its documents."""

import math
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


class TokenDomain(Config):
    """One domain of a token corpus."""

    weight: float = Field(ge=0, le=1)
    """Its share of the training tokens, as configured."""
    budget_tokens: int = Field(ge=0)
    """Training tokens to read of it, repetitions included."""
    train_tokens: int = Field(ge=0)
    """Tokens in `train/DOMAIN.bin`: one epoch."""
    epochs: float = Field(ge=0)
    """`budget_tokens` / `train_tokens`; at most 1 where the domain was down-sampled."""
    heldout_tokens: int = Field(ge=0)
    """Tokens in `heldout/DOMAIN.bin`."""
    num_train_documents: int = Field(ge=0)
    """Sequences of `train/DOMAIN.bin`; `train/DOMAIN.parquet` has each one's `doc_id`, in order."""
    num_heldout_documents: int = Field(ge=0)
    """The same of `heldout/DOMAIN.bin`."""


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
