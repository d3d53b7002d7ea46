"""Exact and near duplicates: of copies the best one stays, of equally good ones the first.

Documents that share a digest or a band with another are found on disk (`groups`); only they are
looked at one by one, the best first (`signatures.rank_copies`). A document is compared with kept
ones alone, so that a second pass drops nothing more.

A place is a document's number in the corpus' order, counted through all shards.
"""

import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.clean.found import FoundTwins
from k2core.clean.groups import GROUP, PLACE, RANK, SharedKeys
from k2core.clean.outline import JUDGED
from k2core.clean.semantic import add_semantic
from k2core.clean.shingles import Hashes
from k2core.clean.signatures import BANDS, DIGEST, ID, NEAR, PREFERENCE, ROW, SignedShards
from k2core.clean.verdict import RuleVerdict, Twin
from k2core.pieces import Crew, Made
from schemas.clean import Deduplication

_RULE = "deduplication"
_EXACT = RuleVerdict(_RULE, "exact_duplicate", 1.0, 1.0)


class ShardLine(NamedTuple):
    """A document's shard and its line there."""

    number: int
    row: int


class Deduplicator:
    """What was kept of the documents that share a key with one still to come."""

    def __init__(self, config: Deduplication, shards: SignedShards, folder: Path) -> None:
        """Find shared keys.

        Args:
            config: bands and threshold.
            shards: all shards in the corpus' order.
            folder: for what is found, deleted with the stage's scratch folder.
        """
        self._config, self._shards, self._folder = config, shards, folder
        self._starts = np.cumsum([0, *shards.sizes])
        self._groups = SharedKeys(folder)
        for line in (DIGEST, *range(BANDS, BANDS + config.num_bands)):
            keys_of = functools.partial(self._keys, line=line)
            self._groups.add(keys_of, len(shards.sizes), int(self._starts[-1]))
        self._kept = self._groups.open_notes()
        """Of each group how many of its documents are kept so far, and then their places."""

    def find(self) -> Iterator[dict[int, Twin]]:
        """Each shard's duplicates by row."""
        twins = FoundTwins(self._starts, self._folder)
        for exact, *bands in self._groups.walk():
            for place, equal, near in _by_place(exact, np.concatenate(bands, axis=1)):
                twin = self._find_equal(place, equal) or self._find_near(place, near)
                if twin:
                    number, row = self._locate(place)
                    twins.add(place, int(self._shards[number].keys_KN[ROW, row]), twin)
                    continue
                for rooms in (equal, near):
                    counts = self._kept[rooms].astype(np.int64)
                    self._kept[rooms + 1 + counts] = place
                    self._kept[rooms] = counts + 1
        return twins.by_shard()

    def _list_kept(self, rooms: NDArray[np.int64]) -> list[int]:
        """Places of the kept documents of groups."""
        rooms = rooms[self._kept[rooms] > 0]
        ends = rooms + 1 + self._kept[rooms].astype(np.int64)
        pairs = zip((rooms + 1).tolist(), ends.tolist(), strict=True)
        return [place for a, b in pairs for place in self._kept[a:b].tolist()]

    def _find_equal(self, place: int, rooms: NDArray[np.int64]) -> Twin | None:
        for other in self._list_kept(rooms):
            # Groups share 64 bits of the digest.
            if self._digest(other) == self._digest(place):
                return Twin(_EXACT, self._name(other))
        return None

    def _find_near(self, place: int, rooms: NDArray[np.int64]) -> Twin | None:
        alike = set(self._list_kept(rooms))
        if not alike:
            return None
        others = sorted(alike, key=lambda other: (self._preference(other), other))
        own = self._signature(place)
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

    def _keys(self, number: int, line: int) -> Hashes:
        keys_KN = self._shards[number].keys_KN
        rows = np.flatnonzero(keys_KN[NEAR]) if line != DIGEST else np.arange(keys_KN.shape[1])
        places = (rows + self._starts[number]).astype(np.uint64)
        return np.stack([keys_KN[PREFERENCE, rows], places, keys_KN[line, rows]])

    def _locate(self, place: int) -> ShardLine:
        number = int(np.searchsorted(self._starts, place, "right")) - 1
        return ShardLine(number, place - int(self._starts[number]))

    def _signature(self, place: int) -> NDArray[np.uint32]:
        number, row = self._locate(place)
        signature_H: NDArray[np.uint32] = self._shards[number].signatures_NH[row]
        return signature_H

    def _preference(self, place: int) -> int:
        number, row = self._locate(place)
        return int(self._shards[number].keys_KN[PREFERENCE, row])

    def _digest(self, place: int) -> bytes:
        number, row = self._locate(place)
        return self._shards[number].keys_KN[DIGEST : DIGEST + 4, row].tobytes()

    def _name(self, place: int) -> str:
        number, row = self._locate(place)
        return f"{int(self._shards[number].keys_KN[ID, row]):016x}"


def find_duplicates(
    config: Deduplication, judged: Sequence[Made], crew: Crew, scratch: Path
) -> Iterator[dict[int, Twin]]:
    """Of each shard its duplicates by row, in the corpus' order.

    Args:
        config: what counts as one.
        judged: `JudgedDocument` rows, with their signatures (`sign_shard`).
        crew: who embeds texts, if their meaning counts.
        scratch: a folder of the run's own.
    """
    shards = SignedShards([made.folder / Path(JUDGED).stem for made in judged])
    twins = Deduplicator(config, shards, scratch / "groups").find()
    if config.semantic is None:
        return twins
    every = list(twins)
    add_semantic(config.semantic, judged, shards, every, crew, scratch / "vectors")
    return iter(every)


def _by_place(
    exact: Hashes, near: Hashes
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Each document in order, with the rooms of its groups of both kinds."""
    lines = np.concatenate([exact, near], axis=1)
    is_near = np.arange(lines.shape[1]) >= exact.shape[1]
    order = np.lexsort((is_near, lines[PLACE], lines[RANK]))
    places, rooms = lines[PLACE, order].tolist(), lines[GROUP, order].astype(np.int64)
    is_near = is_near[order]
    starts = np.flatnonzero(np.diff(lines[PLACE, order], prepend=np.uint64(2**64 - 1)))
    for first, last in pairwise([*starts.tolist(), len(places)]):
        middle = first + int((~is_near[first:last]).sum())
        yield places[first], rooms[first:middle], rooms[middle:last]
