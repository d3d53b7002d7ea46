"""Which documents each domain contributes, and how often it is read.

What is held out and what meets the budget goes by hashes of ids: both are all documents up to some
hash (`cuts`). So shard by shard says what it gives, and no process knows all documents.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.pieces import Crew, Made, Piece
from k2core.tokenize.cuts import DomainCut, find_cuts
from k2core.tokenize.encode import EncodedShards
from schemas.errors import InputsError
from schemas.tokenize import TokenizeConfig

TRAIN, HELD_OUT = "train", "heldout"
"""The splits, in the order in which a shard's documents are written."""
CHOSEN, LENGTHS = "chosen.parquet", "lengths.parquet"
"""Of a shard's documents those that are wanted, by domain and then by split: `domain`, `split`,
`doc_id`, `num_tokens`; one wanted more often stands repeatedly. The same without ids."""


class DomainBudget(NamedTuple):
    """What is read of a domain."""

    share: float
    """Of the training tokens."""
    budget_tokens: int


class Selection(NamedTuple):
    """What is read of all."""

    domains: dict[str, DomainBudget]
    """By their names, in order."""
    shards: list[Made]
    """Of each encoded shard its `CHOSEN` and `LENGTHS`."""


def select_documents(
    config: TokenizeConfig, encoded: EncodedShards, crew: Crew, scratch: Path
) -> Selection:
    """Meet each domain's share of the budget by a part of it, or by repetition.

    Args:
        config: mixture and budget.
        encoded: what there is.
        crew: who counts and chooses.
        scratch: for what they find.

    Raises:
        InputsError: a domain has no text, or would be repeated more than `max_epochs`.
    """
    shards = [Piece((each,)) for each in encoded.documents]
    names = config.mixture or dict.fromkeys(encoded.totals, 1.0)
    domains = sorted(name for name, share in names.items() if share)

    def hold_out(originals: dict[str, int]) -> dict[str, int]:
        return {name: math.ceil(config.heldout_frac * originals.get(name, 0)) for name in domains}

    held_out = find_cuts(key_originals, shards, hold_out, crew, scratch / "held-out")
    wanted: dict[str, DomainBudget] = {}

    def spend(sizes: dict[str, int]) -> dict[str, int]:
        total = sum(sizes.values())
        shares = config.mixture or {name: sizes.get(name, 0) / max(total, 1) for name in domains}
        for name in domains:
            budget = round(shares[name] * (config.train_tokens or total))
            wanted[name] = DomainBudget(shares[name], budget)
        return {name: wanted[name].budget_tokens for name in domains}

    train = find_cuts(partial(key_pool, held_out), shards, spend, crew, scratch / "drawn")
    for name, (share, budget) in wanted.items():
        if budget > config.max_epochs * train[name].amount:
            raise InputsError(
                f"mixture.{name}={share:g} wants {budget} tokens and {train[name].amount} are "
                f"there, over max_epochs={config.max_epochs} times as many: lower the share or "
                "train_tokens, raise max_epochs, or collect more"
            )
    found = {name: each for name, each in wanted.items() if each.budget_tokens}
    work = partial(choose_shard, held_out, {name: train[name] for name in found})
    return Selection(found, list(crew.make(work, shards, scratch / "chosen")))


def key_originals(table: Path) -> pl.DataFrame:
    """Keys by which originals are held out: each counts as one.

    Args:
        table: an encoded shard's documents.
    """
    documents = pl.read_parquet(table)
    originals = documents.filter(pl.col("doc_id") == pl.col("parent_id"))
    key = _draw(originals["doc_id"], "held out")
    return originals.with_columns(key=key, amount=pl.lit(1, pl.Int64))


def key_pool(held_out: Mapping[str, DomainCut], table: Path) -> pl.DataFrame:
    """Keys by which documents are trained on, each as often as it is wanted: they count by tokens.

    Rewrites come first: nobody pays a model for text that is then left out.

    Args:
        held_out: cuts by `key_originals`, of the domains that are read.
        table: an encoded shard's documents.
    """
    documents = pl.read_parquet(table).filter(pl.col("domain").is_in(list(held_out)))
    # A rewrite must not teach what its original is held out to test.
    documents = documents.filter(~_up_to(held_out, _draw(documents["parent_id"], "held out")))
    pool = repeat_documents(documents)
    # Of a hash's 64 digits the first is told apart by what it stands before.
    original = (pool["doc_id"] == pool["parent_id"]).cast(pl.Int8).cast(pl.String)
    salts = [f"sample{copy or ''}" for copy in pool["copy"]]
    drawn = original + _draw(pool["doc_id"], *salts)
    return pool.with_columns(key=drawn, amount="num_tokens")


def choose_shard(
    held_out: Mapping[str, DomainCut],
    train: Mapping[str, DomainCut],
    files: Sequence[Path],
    _told: None,
    folder: Path,
) -> None:
    """Write what a shard gives."""
    pool = key_pool(held_out, files[0]).filter(pl.col("domain").is_in(list(train)))
    originals = key_originals(files[0]).filter(pl.col("domain").is_in(list(train)))
    splits = (
        (TRAIN, pool.filter(_up_to(train, pool["key"]))),
        (HELD_OUT, originals.filter(_up_to(held_out, originals["key"]))),
    )
    columns = [
        documents.select("domain", pl.lit(split).alias("split"), "doc_id", "num_tokens")
        for split, documents in splits
    ]
    chosen = pl.concat(columns).sort("domain", maintain_order=True)
    chosen.write_parquet(folder / CHOSEN)
    chosen.drop("doc_id").write_parquet(folder / LENGTHS)


def repeat_documents(documents: pl.DataFrame) -> pl.DataFrame:
    """Each document as often as its weight says, with `copy` counting from 0.

    A part of a copy is one or none by the hash of the id, so that the mean is right.
    """
    draws = (int(each[:12], 16) / 16**12 for each in _draw(documents["doc_id"], "copies"))
    counts = [
        int(weight) + (drawn < weight % 1)
        for weight, drawn in zip(documents["weight"], draws, strict=True)
    ]
    copies = pl.Series("copy", [list(range(count)) for count in counts], pl.List(pl.Int64))
    return documents.with_columns(copies).explode("copy").drop_nulls("copy")


def _up_to(cuts: Mapping[str, DomainCut], keys: pl.Series) -> pl.Expr:
    """Whether a document's key is taken."""
    last = {name: cut.last for name, cut in cuts.items()}
    cut = pl.col("domain").replace_strict(last, default="", return_dtype=pl.String)
    return pl.lit(keys) <= cut


def _draw(doc_ids: pl.Series, *salts: str) -> pl.Series:
    """A hash of each, with a salt of its own or one for all."""
    each = salts if len(salts) == len(doc_ids) else salts * len(doc_ids)
    named = zip(each, doc_ids, strict=True)
    drawn = [hashlib.sha256(f"{salt}\0{doc_id}".encode()).hexdigest() for salt, doc_id in named]
    return pl.Series("key", drawn, pl.String)
