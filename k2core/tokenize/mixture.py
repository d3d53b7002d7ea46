"""Which documents each domain contributes, and how often it is read."""

import hashlib
import math
from typing import NamedTuple

import polars as pl

from k2core.tokenize.encode import EncodedShards
from schemas.errors import InputsError
from schemas.tokenize import TokenizeConfig


class Selection(NamedTuple):
    """Rows of `EncodedShards.documents` of one domain; one wanted more often stands repeatedly."""

    share: float
    """Of the training tokens."""
    budget_tokens: int
    train: pl.DataFrame
    held_out: pl.DataFrame


def select_documents(config: TokenizeConfig, encoded: EncodedShards) -> dict[str, Selection]:
    """Meet each domain's share of the budget by a part of it, or by repetition.

    Raises:
        InputsError: a domain has no text, or would be repeated more than `max_epochs`.
    """
    domains = config.mixture or encoded.documents["domain"].unique().to_list()
    pools = {
        domain: _part(encoded.documents.filter(domain=domain), config.heldout_frac)
        for domain in sorted(domains)
        if config.mixture.get(domain, 1.0)
    }
    sizes = {domain: int(pool.train["num_tokens"].sum()) for domain, pool in pools.items()}
    total = sum(sizes.values())
    shares = config.mixture or {domain: size / max(total, 1) for domain, size in sizes.items()}
    selected = {}
    for domain, (documents, held_out) in pools.items():
        budget = round(shares[domain] * (config.train_tokens or total))
        train = _take(documents, budget)
        available = int(train["num_tokens"].sum())
        if budget > config.max_epochs * available:
            raise InputsError(
                f"mixture.{domain}={shares[domain]:g} wants {budget} tokens and {available} are "
                f"there, over max_epochs={config.max_epochs} times as many: lower the share or "
                "train_tokens, raise max_epochs, or collect more"
            )
        if budget:
            selected[domain] = Selection(shares[domain], budget, train, held_out)
    return selected


class _Pool(NamedTuple):
    train: pl.DataFrame
    held_out: pl.DataFrame


def _part(documents: pl.DataFrame, heldout_frac: float) -> _Pool:
    """A domain's documents to train on, each as often as it is wanted, and those held out."""
    parents = choose_held_out(documents, heldout_frac)
    # A rewrite must not teach what its original is held out to test.
    is_held_out = pl.col("parent_id").is_in(parents)
    originals = documents.filter(is_held_out & (pl.col("doc_id") == pl.col("parent_id")))
    return _Pool(repeat_documents(documents.filter(~is_held_out)), originals)


def choose_held_out(documents: pl.DataFrame, frac: float) -> list[str]:
    """The originals to hold out: a share by the hash of their id, and at least one."""
    originals = documents.filter(pl.col("doc_id") == pl.col("parent_id"))["doc_id"].to_list()
    num = math.ceil(frac * len(originals))
    return sorted(originals, key=lambda doc_id: _draw(doc_id, "held out"))[:num]


def repeat_documents(documents: pl.DataFrame) -> pl.DataFrame:
    """Each document as often as its weight says, with `copy` counting from 0.

    A part of a copy is one or none by the hash of the id, so that the mean is right.
    """
    rows = documents.select("doc_id", "weight").iter_rows()
    counts = [
        int(weight) + (int(_draw(doc_id, "copies")[:12], 16) / 16**12 < weight % 1)
        for doc_id, weight in rows
    ]
    copies = pl.Series("copy", [list(range(count)) for count in counts], pl.List(pl.Int64))
    return documents.with_columns(copies).explode("copy").drop_nulls("copy")


def _take(documents: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Documents by the hash of their id until the budget is met; all of them if it is not.

    Rewrites come first: nobody pays a model for text that is then left out.
    """
    names = documents.select("doc_id", "copy").iter_rows()
    draws = pl.Series("draw", [_draw(i, f"sample{copy or ''}") for i, copy in names])
    drawn = documents.with_columns(draws.cast(pl.String)).with_row_index("place")
    drawn = drawn.sort(pl.col("doc_id") == pl.col("parent_id"), "draw")
    before = drawn["num_tokens"].cum_sum() - drawn["num_tokens"]
    return drawn.filter(before < budget).sort("place")


def _draw(doc_id: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}\0{doc_id}".encode()).hexdigest()
