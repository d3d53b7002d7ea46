"""Which documents each domain contributes, and how often it is read."""

import hashlib
import math
from typing import NamedTuple

import polars as pl

from k2core.tokenize.encode import Encoded
from schemas.tokenize import TokenizeConfig


class Selection(NamedTuple):
    """Rows of `Encoded.documents` of one domain; one wanted more often stands repeatedly."""

    budget_tokens: int
    train: pl.DataFrame
    held_out: pl.DataFrame


def select_documents(config: TokenizeConfig, encoded: Encoded) -> dict[str, Selection]:
    """Meet each domain's share of the budget by a part of it, or by repetition.

    Raises:
        ValueError: a domain has no text, or would be repeated more than `max_epochs`.
    """
    selected = {}
    for domain, weight in sorted(config.mixture.items()):
        if not weight:
            continue
        budget = round(weight * config.train_tokens)
        documents = encoded.documents.filter(domain=domain)
        parents = choose_held_out(documents, config.heldout_frac)
        # A rewrite must not teach what its original is held out to test.
        is_held_out = pl.col("parent_id").is_in(parents)
        train = _take(repeat_documents(documents.filter(~is_held_out)), budget)
        available = int(train["num_tokens"].sum())
        if budget > config.max_epochs * available:
            raise ValueError(
                f"mixture.{domain}={weight} wants {budget} tokens and {available} are there, over "
                f"max_epochs={config.max_epochs} times as many: lower the share or train_tokens, "
                "raise max_epochs, or collect more"
            )
        originals = documents.filter(is_held_out & (pl.col("doc_id") == pl.col("parent_id")))
        selected[domain] = Selection(budget, train, originals)
    return selected


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
