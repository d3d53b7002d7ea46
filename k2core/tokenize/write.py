"""The selected documents as Megatron IndexedDatasets, and the manifest.

What lies where is known before any token is read. A domain is cut into pieces of work of bounded
size: neighbouring documents, of which a piece makes a part of each split. Whoever does it reads the
encoded shards that have some of them, one after another.
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
from k2core.tokens import BYTES_A_DOCUMENT, token_type, write_ids, write_index
from schemas.tokenize import TokenDomain, TokenizeConfig, TokenManifest, TokenPart

_SPLITS = ("train", "heldout")
PART_BYTES = 2**30
"""At most of a piece's `.bin` and `.idx`: far below the 5 GB that S3 copies by itself, soon done
again if its worker is lost, and few files (58,000 for 15.5 T tokens)."""


class _Told(NamedTuple):
    """Of a piece; its one file is a table of the documents that are wanted."""

    parts: dict[str, str]
    """Names by split."""
    vocab_size: int
    shards: dict[int, StoredFile]
    """Encoded ones that have some of the documents, by number, in order."""


class WrittenDomains(NamedTuple):
    """What the datasets are, and the pieces that hold their files."""

    manifest: TokenManifest
    pieces: list[Made]


def write_domains(
    config: TokenizeConfig,
    selected: dict[str, Selection],
    encoded: EncodedShards,
    tokenizer: Tokenizer,
    crew: Crew,
    workspace: Workspace,
) -> WrittenDomains:
    """Write `train/DOMAIN/` and `heldout/DOMAIN/`, some of their documents a piece."""
    vocab_size, plans = tokenizer.get_vocab_size(), workspace.scratch / "plans"
    pieces, domains = list[Piece](), dict[str, TokenDomain]()
    for name, (share, budget, train, held_out) in selected.items():
        parts: dict[str, list[TokenPart]] = {split: [] for split in _SPLITS}
        wanted = _in_order(dict(zip(_SPLITS, (train, held_out), strict=True)))
        for documents in _cut(wanted, token_type(vocab_size).itemsize):
            named = _name_parts(name, documents, parts)
            plan = made_file(_write_plan(plans / f"{len(pieces):06d}.parquet", documents))
            numbers = documents["shard"].unique(maintain_order=True).to_list()
            shards = {number: encoded.tokens[number] for number in numbers}
            pieces.append(Piece((plan,), _Told(named, vocab_size, shards)))
        train_tokens = int(train["num_tokens"].sum())
        domains[name] = TokenDomain(
            weight=share,
            budget_tokens=budget,
            train_tokens=train_tokens,
            epochs=round(budget / train_tokens, 6),
            heldout_tokens=int(held_out["num_tokens"].sum()),
            num_train_documents=len(train),
            num_heldout_documents=len(held_out),
            train_parts=tuple(parts["train"]),
            heldout_parts=tuple(parts["heldout"]),
        )
    made = list(crew.make(_write_parts, pieces, workspace.scratch / "placed"))
    end_id = end_of_document(tokenizer)
    return WrittenDomains(
        TokenManifest(vocab_size=vocab_size, end_id=end_id, domains=domains), made
    )


def _in_order(splits: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """A domain's documents as the encoded shards have them, so that a shard is read for both."""
    columns = [
        documents.select("shard", "doc_id", "num_tokens", split=pl.lit(split))
        for split, documents in splits.items()
    ]
    return pl.concat(columns).sort("shard", maintain_order=True)


def _cut(documents: pl.DataFrame, width: int) -> Iterator[pl.DataFrame]:
    """Neighbours of at most so many bytes together; a document of more is alone.

    Args:
        documents: in order.
        width: bytes of a token.
    """
    sizes = documents["num_tokens"].to_numpy() * width + BYTES_A_DOCUMENT
    ends, start = np.cumsum(sizes), 0
    while start < len(documents):
        most = ends[start] - sizes[start] + PART_BYTES
        stop = max(start + 1, int(np.searchsorted(ends, most, side="right")))
        yield documents[start:stop]
        start = stop


def _name_parts(
    domain: str, documents: pl.DataFrame, parts: dict[str, list[TokenPart]]
) -> dict[str, str]:
    """Add a part to each split that has some of the documents; their names by split."""
    named = {}
    for split, row in parts.items():
        lengths = documents.filter(split=split)["num_tokens"]
        if len(lengths):
            named[split] = f"{split}/{domain}/{len(row):06d}"
            row.append(TokenPart(named[split], len(lengths), int(lengths.sum())))
    return named


def _write_plan(path: Path, documents: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    documents.write_parquet(path)
    return path


def _write_parts(files: Sequence[Path], told: _Told, folder: Path) -> None:
    """Write a part of each split; memory is bounded by an encoded shard, and the plan."""
    for shard in told.shards.values():
        if "://" not in shard.address and not shard.path.is_file():
            raise NotSeenError(f"{shard.path} is on another machine")
    plan, dtype = pl.read_parquet(files[0]), token_type(told.vocab_size)
    with ExitStack() as stack:
        outs = {}
        for split, name in told.parts.items():
            documents = plan.filter(split=split)
            write_index(folder / name, documents["num_tokens"].to_numpy(), told.vocab_size)
            write_ids(folder / name, documents["doc_id"])
            outs[split] = stack.enter_context((folder / f"{name}.bin").open("wb"))
        by_shard = plan.partition_by("shard", as_dict=True, maintain_order=True)
        for (number,), wanted in by_shard.items():
            encoded = pl.read_parquet(io.BytesIO(read_verified(told.shards[number])))
            by_split = wanted.partition_by("split", as_dict=True, maintain_order=True)
            for (split,), rows in by_split.items():
                chosen = rows.select("doc_id").join(encoded, on="doc_id", maintain_order="left")
                tokens = chosen["tokens"].explode().to_numpy().astype(dtype)
                outs[str(split)].write(tokens.tobytes())
