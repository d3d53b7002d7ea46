"""From a token to its document and back, derived and verified: nothing is looked up in an index.

What order documents have in a shard follows from the config and the corpora alone (`replay_orders`)
and stands in the manifest too; both are held against the tokens by encoding a document again.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.store import Workspace
from k2core.tokenize.encode import encode_shards
from k2core.tokenize.mixture import plan_mixture
from k2core.tokenize.texts import find_shards
from k2core.tokenize.vocabulary import end_of_document, load_tokenizer
from k2core.tokens.indexed import open_indexed
from schemas.tokenize import TokenizeConfig, TokenManifest

_DTYPES = {2: np.uint16, 4: np.int32}


class TraceError(ValueError):
    """A token corpus that is not what its config and its texts make; the message says where."""


class Place(NamedTuple):
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
    """The documents of a shard as they lie end to end."""

    shard: str
    doc_ids: tuple[str, ...]
    lengths: NDArray[np.int64]

    def locate(self, offset: int) -> Place:
        """The document that a token belongs to.

        Raises:
            TraceError: the shard is shorter.
        """
        ends = np.cumsum(self.lengths)
        total = int(ends[-1]) if len(ends) else 0
        if not 0 <= offset < total:
            raise TraceError(f"{self.shard} has no token {offset}: its tokens are 0 to {total - 1}")
        return self._place(int(np.searchsorted(ends, offset, side="right")))

    def places(self, doc_id: str) -> list[Place]:
        """Where a document lies; empty if it does not."""
        return [self._place(row) for row, known in enumerate(self.doc_ids) if known == doc_id]

    def _place(self, row: int) -> Place:
        start = int(self.lengths[:row].sum())
        return Place(self.shard, row, self.doc_ids[row], start, int(self.lengths[row]))


def read_orders(folder: Path) -> dict[str, Order]:
    """Every shard's order by the manifest and the datasets' own headers."""
    manifest = TokenManifest.model_validate_json((folder / "manifest.json").read_bytes())
    orders = {}
    for domain, about in manifest.domains.items():
        for split, doc_ids in (
            ("train", about.train_documents),
            ("heldout", about.heldout_documents),
        ):
            shard = f"{split}/{domain}"
            lengths = open_indexed(folder / shard).lengths
            if len(lengths) != len(doc_ids):
                raise TraceError(
                    f"{folder}/{shard}.idx has {len(lengths)} sequences; manifest.json names "
                    f"{len(doc_ids)} documents"
                )
            orders[shard] = Order(shard, doc_ids, lengths)
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
    shards = find_shards(clean, rephrased)
    encoded = encode_shards(load_tokenizer(tokenizer), shards, workspace)
    lengths = dict(encoded.documents.select("doc_id", "num_tokens").iter_rows())
    orders = {}
    for domain, plan in plan_mixture(config, encoded).items():
        for split, doc_ids in (("train", plan.train), ("heldout", plan.held_out)):
            shard = f"{split}/{domain}"
            sizes = np.array([lengths[doc_id] for doc_id in doc_ids], np.int64)
            orders[shard] = Order(shard, doc_ids, sizes)
    return orders


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
        again = replayed[shard]
        pairs = [list(zip(o.doc_ids, o.lengths.tolist(), strict=True)) for o in (order, again)]
        if pairs[0] != pairs[1]:
            rows = zip(*pairs, strict=False)
            row = next((n for n, (a, b) in enumerate(rows) if a != b), min(map(len, pairs)))
            raise TraceError(
                f"{shard}: from row {row} on the documents are not those that config and corpora "
                "make: the tokens were made by other code, or from other corpora"
            )


def verify_place(folder: Path, order: Order, place: Place, text: str) -> None:
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
    path, total = folder / f"{order.shard}.bin", int(order.lengths.sum())
    width, rest = divmod(path.stat().st_size, max(1, total))
    if rest or width not in _DTYPES:
        raise TraceError(
            f"{path} has {path.stat().st_size} bytes, which are no {total} tokens of 2 or 4 bytes"
        )
    return np.memmap(path, _DTYPES[width], "r")
