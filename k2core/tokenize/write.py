"""The selected documents as Megatron IndexedDatasets, and the manifest.

What lies where is known before any token is read. A domain is cut into pieces of work of bounded
size: neighbouring documents, of which a piece makes a part of each split. Whoever does it reads the
encoded shards that have some of them, one after another.
"""

import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from k2core.pieces import Crew, Made, NotSeenError, Piece
from k2core.store import StoredFile, Workspace, read_verified
from k2core.tokenize.encode import EncodedShards
from k2core.tokenize.mixture import CHOSEN, HELD_OUT, LENGTHS, TRAIN, Selection
from k2core.tokenize.vocabulary import end_of_document
from k2core.tokens import BYTES_A_DOCUMENT, token_type, write_ids, write_index
from schemas.tokenize import TokenDomain, TokenManifest, TokenPart

_SPLITS = (TRAIN, HELD_OUT)
PART_BYTES = 2**30
"""At most of a piece's `.bin` and `.idx`: far below the 5 GB that S3 copies by itself, soon done
again if its worker is lost, and few files (58,000 for 15.5 T tokens)."""


class _Slice(NamedTuple):
    """Neighbouring documents of an encoded shard."""

    chosen: StoredFile
    """The shard's documents that are wanted (`CHOSEN`)."""
    tokens: StoredFile
    first: int
    """Row of `chosen`."""
    stop: int


class _Told(NamedTuple):
    """Of a piece."""

    parts: dict[str, str]
    """Names by split."""
    vocab_size: int
    slices: list[_Slice]
    """In order; of a shard at most one."""


class WrittenDomains(NamedTuple):
    """What the datasets are, and the pieces that hold their files."""

    manifest: TokenManifest
    pieces: list[Made]


def write_domains(
    selected: Selection,
    encoded: EncodedShards,
    tokenizer: Tokenizer,
    crew: Crew,
    workspace: Workspace,
) -> WrittenDomains:
    """Write `train/DOMAIN/` and `heldout/DOMAIN/`, some of their documents a piece."""
    vocab_size = tokenizer.get_vocab_size()
    cutters = {name: DomainCutter(name, vocab_size) for name in selected.domains}
    for made, tokens in zip(selected.shards, encoded.tokens, strict=True):
        chosen = made.file(CHOSEN)
        documents = pl.read_parquet(made.open(LENGTHS))
        by_domain = documents.with_row_index("row").partition_by("domain", as_dict=True)
        for (name,), rows in by_domain.items():
            cutters[str(name)].add(rows, chosen, tokens)
    pieces, domains = list[Piece](), dict[str, TokenDomain]()
    for name, (share, budget) in selected.domains.items():
        pieces += cutters[name].close()
        parts = cutters[name].parts
        tokens_of = {split: sum(part.num_tokens for part in parts[split]) for split in _SPLITS}
        domains[name] = TokenDomain(
            weight=share,
            budget_tokens=budget,
            train_tokens=tokens_of[TRAIN],
            epochs=round(budget / tokens_of[TRAIN], 6),
            heldout_tokens=tokens_of[HELD_OUT],
            num_train_documents=sum(part.num_documents for part in parts[TRAIN]),
            num_heldout_documents=sum(part.num_documents for part in parts[HELD_OUT]),
            train_parts=tuple(parts[TRAIN]),
            heldout_parts=tuple(parts[HELD_OUT]),
        )
    placed = list(crew.make(_write_parts, pieces, workspace.scratch / "placed"))
    end_id = end_of_document(tokenizer)
    return WrittenDomains(
        TokenManifest(vocab_size=vocab_size, end_id=end_id, domains=domains), placed
    )


class DomainCutter:
    """A domain's pieces: neighbours of at most `PART_BYTES`; a document of more is alone.

    Args:
        domain: its name.
        vocab_size: which says how wide a token is.
    """

    def __init__(self, domain: str, vocab_size: int) -> None:
        self.parts: dict[str, list[TokenPart]] = {split: [] for split in _SPLITS}
        """By split, as they are closed."""
        self._domain, self._vocab_size = domain, vocab_size
        self._width = token_type(vocab_size).itemsize
        self._pieces: list[Piece] = []
        self._slices: list[_Slice] = []
        self._num_bytes = 0
        self._counts = dict.fromkeys(_SPLITS, (0, 0))

    def add(self, rows: pl.DataFrame, chosen: StoredFile, tokens: StoredFile) -> None:
        """The domain's documents of one more shard.

        Args:
            rows: `row` in `chosen`, ascending by one, `split` and `num_tokens`.
            chosen: the shard's documents that are wanted.
            tokens: the encoded shard.
        """
        sizes = rows["num_tokens"].to_numpy() * self._width + BYTES_A_DOCUMENT
        ends, start, offset = np.cumsum(sizes), 0, int(rows["row"][0])
        while start < len(sizes):
            most = ends[start] - sizes[start] + PART_BYTES - self._num_bytes
            stop = int(np.searchsorted(ends, most, side="right"))
            if stop <= start and self._slices:
                self._close_piece()
                continue
            stop = max(start + 1, stop)
            self._slices.append(_Slice(chosen, tokens, offset + start, offset + stop))
            self._num_bytes += int(sizes[start:stop].sum())
            sums = rows[start:stop].group_by("split").agg(pl.len(), pl.col("num_tokens").sum())
            for split, documents, length in sums.iter_rows():
                before = self._counts[split]
                self._counts[split] = (before[0] + documents, before[1] + length)
            start = stop

    def close(self) -> list[Piece]:
        """All pieces, after the last shard."""
        if self._slices:
            self._close_piece()
        return self._pieces

    def _close_piece(self) -> None:
        named = {}
        for split, (documents, length) in self._counts.items():
            if documents:
                row = self.parts[split]
                named[split] = f"{split}/{self._domain}/{len(row):06d}"
                row.append(TokenPart(named[split], documents, length))
        self._pieces.append(Piece((), _Told(named, self._vocab_size, self._slices)))
        self._slices, self._num_bytes = [], 0
        self._counts = dict.fromkeys(_SPLITS, (0, 0))


def _write_parts(_files: Sequence[Path], told: _Told, folder: Path) -> None:
    """Write a part of each split; memory is bounded by an encoded shard, and names and lengths."""
    for file in (file for each in told.slices for file in (each.chosen, each.tokens)):
        if "://" not in file.address and not file.path.is_file():
            raise NotSeenError(f"{file.path} is on another machine")
    columns, dtype = ["split", "doc_id", "num_tokens"], token_type(told.vocab_size)
    plans = [_read(each.chosen).select(columns)[each.first : each.stop] for each in told.slices]
    plan = pl.concat(plans)
    with ExitStack() as stack:
        outs = {}
        for split, name in told.parts.items():
            documents = plan.filter(split=split)
            write_index(folder / name, documents["num_tokens"].to_numpy(), told.vocab_size)
            write_ids(folder / name, documents["doc_id"])
            outs[split] = stack.enter_context((folder / f"{name}.bin").open("wb"))
        for each, wanted in zip(told.slices, plans, strict=True):
            encoded = _read(each.tokens)
            by_split = wanted.partition_by("split", as_dict=True, maintain_order=True)
            for (split,), rows in by_split.items():
                chosen = rows.select("doc_id").join(encoded, on="doc_id", maintain_order="left")
                tokens = chosen["tokens"].explode().to_numpy().astype(dtype)
                outs[str(split)].write(tokens.tobytes())


def _read(file: StoredFile) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(read_verified(file)))
