"""The selected documents as Megatron IndexedDatasets, and the manifest.

What lies where is known before any token is read. A domain's tokens are a piece of work: whoever
does it reads the encoded shards that have some of them, one after another.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from k2core.pieces import Crew, Made, NotSeenError, Piece, made_file
from k2core.store import StoredFile, Workspace, read_verified
from k2core.tokenize.encode import EncodedShards
from k2core.tokenize.mixture import Selection
from k2core.tokenize.vocabulary import end_of_document
from k2core.tokens import write_ids
from schemas.tokenize import TokenDomain, TokenizeConfig, TokenManifest

_SPLITS = ("train", "heldout")


class _Told(NamedTuple):
    """Of a domain."""

    name: str
    dtype: str
    shards: list[StoredFile]
    """Encoded ones; the piece's files say which of their documents are wanted, a file each."""


class WrittenDomains(NamedTuple):
    """The datasets: indices and ids are in the stage's folder, tokens where pieces were made."""

    manifest: TokenManifest
    tokens: list[Made]


def write_domains(
    config: TokenizeConfig,
    selected: dict[str, Selection],
    encoded: EncodedShards,
    tokenizer: Tokenizer,
    crew: Crew,
    workspace: Workspace,
) -> WrittenDomains:
    """Write `train/` and `heldout/`, a domain a piece."""
    from k2core.engines.megatron.indexed import token_type, write_index

    vocab_size = tokenizer.get_vocab_size()
    dtype, plans = token_type(vocab_size), workspace.scratch / "plans"
    pieces, domains = list[Piece](), dict[str, TokenDomain]()
    for name, (share, budget, train, held_out) in selected.items():
        splits = dict(zip(_SPLITS, (train, held_out), strict=True))
        for split, documents in splits.items():
            prefix = workspace.out / split / name
            write_index(prefix, documents["num_tokens"].to_numpy(), vocab_size)
            write_ids(prefix, documents["doc_id"])
        planned = dict(_plan_domain(splits, plans / name))
        files = tuple(made_file(path) for path in planned.values())
        told = _Told(name, dtype.str, [encoded.tokens[number] for number in planned])
        pieces.append(Piece(files, told))
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
    tokens = list(crew.make(_write_domain, pieces, workspace.scratch / "placed"))
    end_id = end_of_document(tokenizer)
    manifest = TokenManifest(vocab_size=vocab_size, end_id=end_id, domains=domains)
    return WrittenDomains(manifest, tokens)


def _plan_domain(splits: Mapping[str, pl.DataFrame], folder: Path) -> Iterator[tuple[int, Path]]:
    """Files of the documents that are wanted of each encoded shard, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [
        documents.select("shard", "doc_id", split=pl.lit(split))
        for split, documents in splits.items()
    ]
    parts = pl.concat(columns).partition_by("shard", as_dict=True, maintain_order=True)
    for (number,), wanted in sorted(parts.items()):
        path = folder / f"{number:06d}.parquet"
        wanted.drop("shard").write_parquet(path)
        yield int(number), path


def _write_domain(files: Sequence[Path], told: _Told, folder: Path) -> None:
    """Write a domain's `.bin` of each split; memory is bounded by an encoded shard."""
    for shard in told.shards:
        if "://" not in shard.address and not shard.path.is_file():
            raise NotSeenError(f"{shard.path} is on another machine")
    with ExitStack() as stack:
        outs = {}
        for split in _SPLITS:
            (folder / split).mkdir()
            outs[split] = stack.enter_context((folder / split / f"{told.name}.bin").open("wb"))
        for path, shard in zip(files, told.shards, strict=True):
            encoded = pl.read_parquet(io.BytesIO(read_verified(shard)))
            plan = pl.read_parquet(path).partition_by("split", as_dict=True, maintain_order=True)
            for (split,), rows in plan.items():
                chosen = rows.select("doc_id").join(encoded, on="doc_id", maintain_order="left")
                tokens = chosen["tokens"].explode().to_numpy().astype(np.dtype(told.dtype))
                outs[str(split)].write(tokens.tobytes())
