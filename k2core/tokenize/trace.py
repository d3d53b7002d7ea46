"""From a token to its document and back, derived and verified.

What order documents have in a shard follows from the config and the corpora alone (`replay_orders`)
and stands in a table beside it too; both are held against the tokens by encoding a document again.
"""

from bisect import bisect_right
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.pieces import Crew
from k2core.store import Workspace
from k2core.tokenize.encode import encode_shards
from k2core.tokenize.mixture import CHOSEN, HELD_OUT, TRAIN, select_documents
from k2core.tokenize.texts import files_below, find_shards
from k2core.tokenize.vocabulary import end_of_document, load_tokenizer
from k2core.tokens import DocumentIds, PartedTokens, read_manifest
from schemas.tokenize import TokenizeConfig

_DTYPES = {2: np.uint16, 4: np.int32}


class TraceError(ValueError):
    """A token corpus that is not what its config and its texts make; the message says where."""


class TokenPlace(NamedTuple):
    """A document in a token shard: all parts of a domain's split, end to end."""

    shard: str
    """`train/DOMAIN` or `heldout/DOMAIN`."""
    row: int
    """Its sequence there."""
    doc_id: str
    start: int
    """Its first token in the shard."""
    length: int
    """Tokens, the end token included."""

    def describe(self) -> str:
        """The place in words."""
        end = self.start + self.length - 1
        return f"{self.shard}, tokens {self.start} to {end} (sequence {self.row})"


class ShardLayout(Protocol):
    """Where documents lie in a shard; a recorded one is read where asked (`PartedTokens`)."""

    num_documents: int
    num_tokens: int

    def start(self, row: int) -> int:
        """The first token of a document."""

    def length(self, row: int) -> int:
        """Tokens of a document."""

    def lengths(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """[stop - start] tokens of neighbouring documents, of all if none are named."""

    def row_at(self, offset: int) -> int:
        """The document that holds a token."""


class _Replayed:
    """A layout at hand."""

    def __init__(self, lengths: NDArray[np.integer]) -> None:
        self._lengths = lengths.astype(np.int32)
        self._ends = np.cumsum(self._lengths, dtype=np.int64)
        self.num_documents, self.num_tokens = len(lengths), int(self._lengths.sum(dtype=np.int64))

    def start(self, row: int) -> int:
        return int(self._ends[row] - self._lengths[row])

    def length(self, row: int) -> int:
        return int(self._lengths[row])

    def lengths(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        return self._lengths[start:stop]

    def row_at(self, offset: int) -> int:
        return int(np.searchsorted(self._ends, offset, side="right"))


class Order(NamedTuple):
    """The documents of a shard as they lie end to end."""

    shard: str
    doc_ids: DocumentIds
    layout: ShardLayout

    def locate(self, offset: int) -> TokenPlace:
        """The document that a token belongs to.

        Raises:
            TraceError: the shard is shorter.
        """
        total = self.layout.num_tokens
        if not 0 <= offset < total:
            raise TraceError(f"{self.shard} has no token {offset}: its tokens are 0 to {total - 1}")
        return self._place(self.layout.row_at(offset))

    def places(self, doc_id: str) -> list[TokenPlace]:
        """Where a document lies; empty if it does not."""
        return [self._place(row) for row in self.doc_ids.rows_of(doc_id)]

    def _place(self, row: int) -> TokenPlace:
        start, length = self.layout.start(row), self.layout.length(row)
        return TokenPlace(self.shard, row, self.doc_ids[row], start, length)


def read_orders(folder: Path) -> dict[str, Order]:
    """Every shard's order by the manifest; tables of ids and datasets are opened where asked.

    Raises:
        InputsError: the manifest is none that this code writes.
    """
    orders = {}
    for domain, about in read_manifest(folder).domains.items():
        for split, parts in (("train", about.train_parts), ("heldout", about.heldout_parts)):
            shard, layout = f"{split}/{domain}", PartedTokens(folder, parts)
            orders[shard] = Order(shard, layout.document_ids(), layout)
    return orders


def replay_orders(
    config: TokenizeConfig, tokenizer: Path, clean: Path, rephrased: Path, workspace: Workspace
) -> dict[str, Order]:
    """Every shard's order derived anew: the corpora encoded, the mixture planned.

    Args:
        config: the one that the tokens were made with.
        tokenizer: the token corpus' `tokenizer/`.
        clean: folder of the clean corpus.
        rephrased: folder of the rephrased corpus.
        workspace: whose scratch takes the encoded corpora.
    """
    shards = find_shards(files_below(clean), files_below(rephrased))
    crew = Crew(workspace, 0)
    encoded = encode_shards(tokenizer, shards, crew, workspace.scratch)
    selected = select_documents(config, encoded, crew, workspace.scratch)
    chosen = pl.concat([pl.read_parquet(made.open(CHOSEN)) for made in selected.shards])
    return {
        f"{split}/{domain}": _order_of(
            f"{split}/{domain}", chosen.filter(domain=domain, split=split)
        )
        for domain in selected.domains
        for split in (TRAIN, HELD_OUT)
    }


def _order_of(shard: str, documents: pl.DataFrame) -> Order:
    layout = _Replayed(documents["num_tokens"].to_numpy())
    return Order(shard, DocumentIds.of(documents["doc_id"]), layout)


def compare_orders(recorded: dict[str, Order], replayed: dict[str, Order]) -> None:
    """Hold the manifest's order against the replayed one.

    Raises:
        TraceError: they differ; names the first row that does.
    """
    if recorded.keys() != replayed.keys():
        raise TraceError(
            f"the shards are {sorted(recorded)}, and their config makes {sorted(replayed)}"
        )
    for shard, order in recorded.items():
        row = _first_difference(order, replayed[shard])
        if row is not None:
            raise TraceError(
                f"{shard}: from row {row} on the documents are not those that config and corpora "
                "make: the tokens were made by other code, or from other corpora"
            )


def _first_difference(order: Order, other: Order) -> int | None:
    """The first row that is not the same in both, if there is one."""
    start = 0
    for ids, others in zip_longest(order.doc_ids.groups(), other.doc_ids.groups()):
        if ids is None or others is None:
            return start
        common = min(len(ids), len(others))
        differs = (ids[:common] != others[:common]).to_numpy()
        found, wanted = (o.layout.lengths(start, start + common) for o in (order, other))
        differs = differs | (found != wanted)
        if differs.any():
            return start + int(differs.argmax())
        if len(ids) != len(others):
            return start + common
        start += common
    return None


def verify_place(folder: Path, order: Order, place: TokenPlace, text: str) -> None:
    """Encode a document again and compare it with what lies in the shard.

    Args:
        folder: of the token corpus; of the shard only the `.bin` files are read.
        order: of the shard.
        place: where the document should lie.
        text: of the document, from its corpus.

    Raises:
        TraceError: other tokens are there; names the first.
    """
    tokenizer = load_tokenizer(folder / "tokenizer")
    encoding = tokenizer.encode(text, add_special_tokens=False)
    wanted = np.array([*encoding.ids, end_of_document(tokenizer)])
    found = _read_tokens(folder, order, place)
    if len(wanted) != len(found):
        raise TraceError(
            f"{place.shard} holds {len(found)} tokens of document {place.doc_id}, and its text has "
            f"{len(wanted)}"
        )
    if len(differ := np.flatnonzero(wanted != found)):
        raise TraceError(
            f"{place.shard}: token {place.start + int(differ[0])} is not what document "
            f"{place.doc_id} has there"
        )


def _read_tokens(folder: Path, order: Order, place: TokenPlace) -> NDArray[np.int64]:
    """A document's tokens without index or manifest: their width follows from how many there are.

    A document lies in one file, or is cut short.
    """
    files = sorted((folder / order.shard).glob("*.bin"))
    sizes, total = [path.stat().st_size for path in files], order.layout.num_tokens
    width, rest = divmod(sum(sizes), max(1, total))
    if rest or width not in _DTYPES:
        raise TraceError(
            f"{folder / order.shard}/*.bin have {sum(sizes)} bytes, which are no {total} tokens of "
            "2 or 4 bytes"
        )
    ends = list(accumulate(sizes))
    number = bisect_right(ends, place.start * width)
    offset = place.start * width - (ends[number] - sizes[number])
    tokens = np.fromfile(files[number], _DTYPES[width], place.length, offset=offset)
    return tokens.astype(np.int64)
