"""Items of many shards that share a key, found a range of keys at a time, on disk.

An item is known by its number in an order of all, such as the corpus'. Nothing is kept of a key
that one item has alone, which are most; memory is bounded by `_AT_ONCE`, whatever the corpus.

Shape suffixes: N items, G items that share their key with another.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k2core.clean.shingles import Hashes, Ints

_AT_ONCE = 4_000_000
"""Keys sorted together: some 200 MB."""
ITEM, GROUP, LAST = 0, 1, 2
"""Lines of a group's file: the item, what its group is called, the group's last item."""

Keys = Callable[[int], tuple[Ints, Hashes]]
"""Of a shard's number its items that have a key, and their keys."""


class SharedKeys:
    """Shared keys of several kinds, such as bands; asked for shard by shard."""

    def __init__(self, folder: Path, at_once: int = _AT_ONCE) -> None:
        self._folder = folder
        self._at_once = at_once
        self._kinds: list[list[NDArray[np.int64]]] = []
        self._num = 0

    def add(self, keys_of: Keys, num_shards: int, num_items: int) -> None:
        """Find the items that share a key of one more kind."""
        parts = max(1, -(-num_items // self._at_once))
        found = []
        for part in range(parts):
            items_N, keys_N = _collect(keys_of, num_shards, part, parts)
            groups = _group(items_N, keys_N, self._num)
            self._num += len(items_N)
            found.append(self._keep(groups, f"{len(self._kinds)}-{part}"))
        self._kinds.append(found)

    def between(self, first: int, last: int) -> list[NDArray[np.int64]]:
        """Of each kind the (3, G) lines of items from `first` on and before `last`, ascending."""
        return [_cut(found, first, last) for found in self._kinds]

    def _keep(self, groups: NDArray[np.int64], name: str) -> NDArray[np.int64]:
        if not groups.size:
            return groups
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.npy"
        np.save(path, groups)
        mapped: NDArray[np.int64] = np.load(path, mmap_mode="r")
        return mapped


def _collect(keys_of: Keys, num_shards: int, part: int, parts: int) -> tuple[Ints, Hashes]:
    items, keys = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for shard in range(num_shards):
        items_N, keys_N = keys_of(shard)
        if parts > 1:
            # The upper half: the lower one may be even for want of mixing.
            chosen = (keys_N >> np.uint64(32)) % np.uint64(parts) == part
            items_N, keys_N = items_N[chosen], keys_N[chosen]
        items.append(items_N)
        keys.append(keys_N)
    return np.concatenate(items), np.concatenate(keys)


def _group(items_N: Ints, keys_N: Hashes, first_name: int) -> NDArray[np.int64]:
    order = np.lexsort((items_N, keys_N))
    ranked = keys_N[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(ranked)])
    counts = np.diff(starts, append=len(ranked))
    starts, counts = starts[counts > 1], counts[counts > 1]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    members_G = items_N[order[np.repeat(starts, counts) + within]]
    names_G = np.repeat(first_name + np.arange(len(counts)), counts)
    last_G = np.repeat(items_N[order[starts + counts - 1]], counts)
    ascending = np.argsort(members_G, kind="stable")
    return np.stack([members_G, names_G, last_G])[:, ascending].astype(np.int64)


def _cut(found: Sequence[NDArray[np.int64]], first: int, last: int) -> NDArray[np.int64]:
    pieces = []
    for lines in found:
        bounds = np.searchsorted(lines[ITEM], (first, last)) if lines.size else (0, 0)
        pieces.append(np.asarray(lines[:, bounds[0] : bounds[1]]))
    joined = np.concatenate(pieces, axis=1)
    return joined[:, np.argsort(joined[ITEM], kind="stable")]
