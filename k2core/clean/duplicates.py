"""Exact and near duplicates: of copies the best one stays, of equally good ones the first.

Documents that share a digest or a band with another are found on disk (`groups`); only they are
looked at one by one, the best first (`signatures.rank_copies`). A document is compared with kept
ones alone, so that a second pass drops nothing more.

An item is a document's number in that order, a place its number in the corpus'.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.clean.groups import GROUP, ITEM, LAST, SharedKeys
from k2core.clean.outline import JUDGED
from k2core.clean.semantic import add_semantic
from k2core.clean.shingles import Hashes, Ints
from k2core.clean.signatures import BANDS, DIGEST, ID, NEAR, RANK, ROW, SignedShard, open_signed
from k2core.clean.verdict import RuleVerdict, Twin
from k2core.pieces import Crew, Made
from schemas.clean import Deduplication

_RULE = "deduplication"
_AT_ONCE = 100_000
"""Items whose groups are read together."""


class ShardLine(NamedTuple):
    """A document's shard and its line there."""

    number: int
    row: int


class Deduplicator:
    """What was kept of the documents that share a key with one still to come."""

    def __init__(self, config: Deduplication, shards: Sequence[SignedShard], folder: Path) -> None:
        """Find shared keys.

        Args:
            config: bands and threshold.
            shards: all shards in the corpus' order.
            folder: for what is found, deleted with the stage's scratch folder.
        """
        self._config = config
        self._shards = shards
        self._starts = np.cumsum([0, *(shard.num for shard in shards)])
        ranks = [shard.keys_KN[RANK] for shard in shards]
        self._order = (
            np.argsort(np.concatenate(ranks), kind="stable") if ranks else np.empty(0, int)
        )
        """The place of each item."""
        self._items = np.argsort(self._order)
        """The item of each place."""
        self._groups = SharedKeys(folder)
        for line in (DIGEST, *range(BANDS, BANDS + config.num_bands)):
            keys_of = functools.partial(self._keys, line=line)
            self._groups.add(keys_of, len(shards), int(self._starts[-1]))
        self._exact: dict[int, list[int]] = {}
        self._near: dict[int, list[int]] = {}

    def find(self) -> list[dict[int, Twin]]:
        """Each shard's duplicates by row."""
        found: list[dict[int, Twin]] = [{} for _ in self._shards]
        for first in range(0, len(self._order), _AT_ONCE):
            exact, *bands = self._groups.between(first, first + _AT_ONCE)
            for item, equal, near in _by_item(exact, np.concatenate(bands, axis=1)):
                twin = self._find_equal(item, equal) or self._find_near(item, near)
                if twin:
                    number, row = self._locate(item)
                    found[number][int(self._shards[number].keys_KN[ROW, row])] = twin
                else:
                    _remember(self._exact, item, equal)
                    _remember(self._near, item, near)
                _forget(self._exact, item, equal)
                _forget(self._near, item, near)
        return found

    def _find_equal(self, item: int, groups: NDArray[np.int64]) -> Twin | None:
        for group in groups[GROUP].tolist():
            for other in self._exact.get(group, ()):
                # Groups share 64 bits of the digest.
                if self._digest(other) == self._digest(item):
                    return Twin(RuleVerdict(_RULE, "exact_duplicate", 1.0, 1.0), self._name(other))
        return None

    def _find_near(self, item: int, groups: NDArray[np.int64]) -> Twin | None:
        alike = {other for group in groups[GROUP].tolist() for other in self._near.get(group, ())}
        if not alike:
            return None
        others = sorted(alike)
        own = self._signature(item)
        equal = np.stack([self._signature(other) for other in others]) == own
        # Equal hashes at a position are an unbiased estimate of the Jaccard similarity; bands that
        # share no more than the 64 bits of their key are not equal.
        banded = equal.reshape(len(others), self._config.num_bands, -1).all(2).any(1)
        similarity = np.where(banded, equal.mean(1), 0.0)
        best = int(similarity.argmax())
        threshold = self._config.min_similarity
        if similarity[best] < threshold:
            return None
        verdict = RuleVerdict(_RULE, "near_duplicate", float(similarity[best]), threshold)
        return Twin(verdict, self._name(others[best]))

    def _keys(self, number: int, line: int) -> tuple[Ints, Hashes]:
        shard = self._shards[number]
        rows = np.arange(shard.num) if line == DIGEST else np.flatnonzero(shard.keys_KN[NEAR])
        return self._items[rows + self._starts[number]], shard.keys_KN[line, rows]

    def _locate(self, item: int) -> ShardLine:
        place = int(self._order[item])
        number = int(np.searchsorted(self._starts, place, "right")) - 1
        return ShardLine(number, place - int(self._starts[number]))

    def _signature(self, item: int) -> NDArray[np.uint32]:
        number, row = self._locate(item)
        signature_H: NDArray[np.uint32] = self._shards[number].signatures_NH[row]
        return signature_H

    def _digest(self, item: int) -> bytes:
        number, row = self._locate(item)
        return self._shards[number].keys_KN[DIGEST : DIGEST + 4, row].tobytes()

    def _name(self, item: int) -> str:
        number, row = self._locate(item)
        return f"{int(self._shards[number].keys_KN[ID, row]):016x}"


def find_duplicates(
    config: Deduplication, judged: Sequence[Made], crew: Crew, scratch: Path
) -> list[dict[int, Twin]]:
    """Of each shard its duplicates by row, in the corpus' order.

    Args:
        config: what counts as one.
        judged: `JudgedDocument` rows, with their signatures (`sign_shard`).
        crew: who embeds texts, if their meaning counts.
        scratch: a folder of the run's own.
    """
    shards = [open_signed(made.folder, Path(JUDGED).stem) for made in judged]
    deduplicator = Deduplicator(config, shards, scratch / "groups")
    twins = deduplicator.find()  # as many as there are duplicates
    if config.semantic is not None:
        add_semantic(config.semantic, judged, shards, twins, crew, scratch / "vectors")
    return twins


def _by_item(
    exact: NDArray[np.int64], near: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Each item with its lines of both kinds."""
    near = near[:, np.argsort(near[ITEM], kind="stable")]
    items = np.union1d(exact[ITEM], near[ITEM])
    bounds = [
        (np.searchsorted(g[ITEM], items), np.searchsorted(g[ITEM], items, "right"))
        for g in (exact, near)
    ]
    for n, item in enumerate(items.tolist()):
        (a, b), (c, d) = ((lo[n], hi[n]) for lo, hi in bounds)
        yield item, exact[:, a:b], near[:, c:d]


def _remember(kept: dict[int, list[int]], item: int, groups: NDArray[np.int64]) -> None:
    for group in groups[GROUP].tolist():
        kept.setdefault(group, []).append(item)


def _forget(kept: dict[int, list[int]], item: int, groups: NDArray[np.int64]) -> None:
    """Let go of the groups of which this is the last."""
    for group in groups[GROUP, groups[LAST] == item].tolist():
        kept.pop(group, None)
