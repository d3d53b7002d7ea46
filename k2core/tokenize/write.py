"""The selected documents as Megatron IndexedDatasets, and the manifest.

Where each document's tokens lie is known before they are read: whoever has an encoded shard writes
its part of each file in place, and nobody reads all of them.
"""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from k2core.pieces import Crew, NotSeenError, Piece, made_file
from k2core.store import Workspace
from k2core.tokenize.encode import EncodedShards
from k2core.tokenize.mixture import Selection
from k2core.tokenize.vocabulary import end_of_document
from k2core.tokens import write_ids
from schemas.tokenize import TokenDomain, TokenizeConfig, TokenManifest


class _Target(NamedTuple):
    """A shard's part of a file of tokens."""

    path: Path
    start: int
    """Its first byte."""


class _Told(NamedTuple):
    """Where a shard's tokens go."""

    targets: list[_Target]
    dtype: str
    seal: Path
    """A file beside the targets, and what it holds where they are the stage's."""
    sealed: str


def write_domains(
    config: TokenizeConfig,
    selected: dict[str, Selection],
    encoded: EncodedShards,
    tokenizer: Tokenizer,
    crew: Crew,
    workspace: Workspace,
) -> TokenManifest:
    """Write `train/` and `heldout/`, all domains at once: the encoded shards are read once."""
    vocab_size = tokenizer.get_vocab_size()
    parts = {
        f"{split}/{name}": documents
        for name, (_, _, train, held_out) in selected.items()
        for split, documents in (("train", train), ("heldout", held_out))
    }
    joined = workspace.scratch / "joined"
    _write_tokens(parts, encoded, vocab_size, crew, joined)
    for name, documents in parts.items():
        prefix = workspace.out / name
        prefix.parent.mkdir(parents=True, exist_ok=True)
        for kind in (".bin", ".idx"):
            (joined / name).with_suffix(kind).rename(prefix.with_suffix(kind))
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


def _write_tokens(
    parts: Mapping[str, pl.DataFrame],
    encoded: EncodedShards,
    vocab_size: int,
    crew: Crew,
    folder: Path,
) -> None:
    """The files of each part, whole where an earlier run has written them."""
    from k2core.engines.megatron.indexed import token_type, write_index

    dtype, plans = token_type(vocab_size), folder.with_name("plans")
    plans.mkdir(exist_ok=True)
    for name, documents in parts.items():
        size = write_index(folder / name, documents["num_tokens"].to_numpy(), vocab_size)
        with (folder / name).with_suffix(".bin").open("ab") as tokens:
            tokens.truncate(size)  # what is there of it stays
    seal, sealed = folder / "seal", uuid.uuid4().hex
    seal.write_text(sealed)
    pieces, starts = [], dict.fromkeys(parts, 0)
    for number, path in enumerate(encoded.paths):
        rows = {name: documents.filter(shard=number) for name, documents in parts.items()}
        plan = [
            part.select("doc_id", part=pl.lit(place))
            for place, part in enumerate(rows.values())
            if len(part)
        ]
        if not plan:
            continue
        targets = [_Target((folder / n).with_suffix(".bin"), start) for n, start in starts.items()]
        for name, part in rows.items():
            starts[name] += int(part["num_tokens"].sum()) * dtype.itemsize
        pl.concat(plan).write_parquet(plans / f"{number:06d}.parquet")
        files = made_file(path), made_file(plans / f"{number:06d}.parquet")
        pieces.append(Piece(files, _Told(targets, dtype.str, seal, sealed)))
    placed = folder.with_name("placed")
    for _ in crew.make(_write_shard, pieces, placed):
        pass
    shutil.rmtree(placed)  # from here on a run that is killed writes them all again


def _write_shard(files: Sequence[Path], told: _Told, folder: Path) -> None:
    """Write a shard's chosen documents where they belong; `folder` stays empty."""
    if not told.seal.is_file() or told.seal.read_text() != told.sealed:
        raise NotSeenError(f"{told.seal} is on another machine")
    shard, plan = (pl.read_parquet(file) for file in files)
    for (place,), rows in plan.partition_by("part", as_dict=True, maintain_order=True).items():
        chosen = rows.select("doc_id").join(shard, on="doc_id", maintain_order="left")
        tokens = chosen["tokens"].explode().to_numpy().astype(np.dtype(told.dtype))
        target = told.targets[place]
        with target.path.open("r+b") as file:
            file.seek(target.start)
            file.write(tokens.tobytes())
