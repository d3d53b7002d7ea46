"""From a token to its document and back, derived and verified.

What order documents have in a shard follows from the config and the corpora alone (`replay_orders`)
and stands in a table beside it too; both are held against the tokens by encoding a document again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.pieces import Crew
from k2core.store import Workspace
from k2core.tokenize.encode import encode_shards
from k2core.tokenize.mixture import select_documents
from k2core.tokenize.texts import files_below, find_shards
from k2core.tokenize.vocabulary import end_of_document, load_tokenizer
from k2core.tokens import DocumentIds, open_indexed, scan_ids
from schemas.tokenize import TokenizeConfig, TokenManifest

_DTYPES = {2: np.uint16, 4: np.int32}


class TraceError(ValueError):
    """A token corpus that is not what its config and its texts make; the message says where."""


class TokenPlace(NamedTuple):
    """A document in a token shard."""

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


class Order(NamedTuple):
    """The documents of a shard as they lie end to end; a recorded one is read where asked."""

    shard: str
    doc_ids: DocumentIds
    starts: Sequence[int]
    lengths: NDArray[np.integer]

    @property
    def num_tokens(self) -> int:
        """Of the whole shard."""
        return self.starts[-1] + int(self.lengths[-1]) if len(self.lengths) else 0

    def locate(self, offset: int) -> TokenPlace:
        """The document that a token belongs to.

        Raises:
            TraceError: the shard is shorter.
        """
        total = self.num_tokens
        if not 0 <= offset < total:
            raise TraceError(f"{self.shard} has no token {offset}: its tokens are 0 to {total - 1}")
        return self._place(bisect_right(self.starts, offset) - 1)

    def places(self, doc_id: str) -> list[TokenPlace]:
        """Where a document lies; empty if it does not."""
        return [self._place(row) for row in self.doc_ids.rows_of(doc_id)]

    def _place(self, row: int) -> TokenPlace:
        return TokenPlace(
            self.shard, row, self.doc_ids[row], self.starts[row], int(self.lengths[row])
        )


def read_orders(folder: Path) -> dict[str, Order]:
    """Every shard's order by the tables of ids and the datasets' own headers."""
    manifest = TokenManifest.model_validate_json((folder / "manifest.json").read_bytes())
    orders = {}
    for domain, about in manifest.domains.items():
        for split, stated in (
            ("train", about.num_train_documents),
            ("heldout", about.num_heldout_documents),
        ):
            shard = f"{split}/{domain}"
            data, doc_ids = open_indexed(folder / shard), scan_ids(folder / shard)
            if {len(data.lengths), len(doc_ids)} != {stated}:
                raise TraceError(
                    f"{folder}/{shard}.idx has {len(data.lengths)} sequences, {shard}.parquet "
                    f"{len(doc_ids)} ids, and manifest.json says {stated} documents"
                )
            orders[shard] = Order(shard, doc_ids, data.starts, data.lengths)
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
    encoded = encode_shards(tokenizer, shards, Crew(workspace, 0), workspace.scratch)
    orders = {}
    for domain, selected in select_documents(config, encoded).items():
        for split, documents in (("train", selected.train), ("heldout", selected.held_out)):
            shard = f"{split}/{domain}"
            orders[shard] = _order_of(shard, documents)
    return orders


def _order_of(shard: str, documents: pl.DataFrame) -> Order:
    lengths = documents["num_tokens"].to_numpy()
    starts = [int(start) for start in np.cumsum(lengths) - lengths]
    return Order(shard, DocumentIds.of(documents["doc_id"]), starts, lengths)


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
        part = slice(start, start + common)
        differs = (ids[:common] != others[:common]).to_numpy()
        differs = differs | (np.array(order.lengths[part]) != np.array(other.lengths[part]))
        if differs.any():
            return start + int(differs.argmax())
        if len(ids) != len(others):
            return start + common
        start += common
    return None


def verify_place(folder: Path, order: Order, place: TokenPlace, text: str) -> None:
    """Encode a document again and compare it with what lies in the shard.

    Args:
        folder: of the token corpus; of the shard only `.bin` is read.
        order: of the shard.
        place: where the document should lie.
        text: of the document, from its corpus.

    Raises:
        TraceError: other tokens are there; names the first.
    """
    tokenizer = load_tokenizer(folder / "tokenizer")
    encoding = tokenizer.encode(text, add_special_tokens=False)
    wanted = np.array([*encoding.ids, end_of_document(tokenizer)])
    found = _map_tokens(folder, order)[place.start : place.start + place.length].astype(np.int64)
    if len(wanted) != len(found):
        raise TraceError(
            f"{place.shard}.bin holds {len(found)} tokens of document {place.doc_id}, and its text "
            f"has {len(wanted)}"
        )
    if len(differ := np.flatnonzero(wanted != found)):
        raise TraceError(
            f"{place.shard}.bin: token {place.start + int(differ[0])} is not what document "
            f"{place.doc_id} has there"
        )


def _map_tokens(folder: Path, order: Order) -> NDArray[np.generic]:
    """A shard's tokens without its index: their width follows from how many there are."""
    path, total = folder / f"{order.shard}.bin", order.num_tokens
    width, rest = divmod(path.stat().st_size, max(1, total))
    if rest or width not in _DTYPES:
        raise TraceError(
            f"{path} has {path.stat().st_size} bytes, which are no {total} tokens of 2 or 4 bytes"
        )
    return np.memmap(path, _DTYPES[width], "r")
