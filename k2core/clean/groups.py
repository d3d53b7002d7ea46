"""Items of many shards that share a key, found a range of keys at a time, on disk.

An item is known by its place in the corpus, and goes before others by its rank, then by its place.
Nothing is kept of a key that one item has alone, which are most; what is noted of shared ones lies
on disk, so that memory is bounded by `_AT_ONCE`, whatever the corpus.

Shape suffixes: N items, G items that share their key with another.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from k2core.clean.shingles import Hashes

_AT_ONCE = 4_000_000
"""Keys sorted together: some 300 MB."""
_LINES = 1_000_000
"""Of groups that are walked through together: 24 MB."""
RANK, PLACE, GROUP = 0, 1, 2
"""Lines of what is shared: an item's rank (lower goes first) and place, and where in
`SharedKeys.notes` its group's room begins, which is one more than its items."""
_KEY = 2

Keys = Callable[[int], Hashes]
"""Of a shard's number `RANK`, `PLACE` and key of its items that have one, (3, N), by their places.
"""


class _Border(NamedTuple):
    """All items before this one, or all."""

    rank: int
    place: int


class SharedKeys:
    """Shared keys of several kinds, such as bands."""

    def __init__(self, folder: Path, at_once: int | None = None, lines: int | None = None) -> None:
        self._folder = folder
        self._at_once, self._lines = at_once or _AT_ONCE, lines or _LINES
        self._kinds: list[list[Hashes]] = []
        self._room = 0

    def add(self, keys_of: Keys, num_shards: int, num_items: int) -> None:
        """Find the items that share a key of one more kind."""
        parts, sizes = max(1, -(-num_items // self._at_once)), list[int]()
        path = self._folder / f"{len(self._kinds)}.lines"
        self._folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for items in self._deal(keys_of, num_shards, parts):
                groups = _group(items, self._room)
                self._room += groups.room
                out.write(groups.lines_3G.tobytes())
                sizes.append(groups.lines_3G.shape[1])
        self._kinds.append(_map_parts(path, sizes))

    def open_notes(self) -> Hashes:
        """Room for notes on each group, all 0 at first: on disk, mapped into memory."""
        path = self._folder / "notes"
        path.unlink(missing_ok=True)
        return np.asarray(np.memmap(path, np.uint64, "w+", shape=(max(1, self._room),)))

    def between(self, first: int, last: int) -> list[Hashes]:
        """Of each kind the (3, G) lines of items of rank 0 from place `first` on, before `last`."""
        found = []
        for parts in self._kinds:
            cuts = [(_find(p, _Border(0, first)), _find(p, _Border(0, last))) for p in parts]
            lines_3G = np.concatenate([p[:, a:b] for p, (a, b) in zip(parts, cuts, strict=True)], 1)
            found.append(lines_3G[:, np.argsort(lines_3G[PLACE], kind="stable")])
        return found

    def walk(self) -> Iterator[list[Hashes]]:
        """Of each kind lines of the next items, in order; all that an item has come together."""
        starts = [[0] * len(parts) for parts in self._kinds]
        step = max(1, self._lines // max(1, sum(map(len, self._kinds))))
        while True:
            ahead = [
                _Border(int(each[RANK, start + step]), int(each[PLACE, start + step]))
                for parts, begun in zip(self._kinds, starts, strict=True)
                for each, start in zip(parts, begun, strict=True)
                if start + step < each.shape[1]
            ]
            border = min(ahead, default=None)
            stops = [
                [_find(each, border) if border else each.shape[1] for each in parts]
                for parts in self._kinds
            ]
            yield [
                np.concatenate(
                    [each[:, a:b] for each, a, b in zip(parts, begun, ended, strict=True)], axis=1
                )
                for parts, begun, ended in zip(self._kinds, starts, stops, strict=True)
            ]
            if border is None:
                return
            starts = stops

    def _deal(self, keys_of: Keys, num_shards: int, parts: int) -> Iterator[Hashes]:
        """Items and keys in parts by their keys, each in the items' order: read once, via disk."""
        if parts == 1:
            empty = np.empty((3, 0), np.uint64)
            yield np.concatenate([empty, *map(keys_of, range(num_shards))], axis=1)
            return
        paths = [self._folder / f"part-{number}" for number in range(parts)]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in paths]
            for shard in range(num_shards):
                items_3N = keys_of(shard)
                # The upper half: the lower one may be even for want of mixing.
                part_N = (items_3N[_KEY] >> np.uint64(32)) % np.uint64(parts)
                for number in np.unique(part_N).tolist():
                    files[number].write(items_3N[:, part_N == number].T.tobytes())
        for path in paths:
            yield np.fromfile(path, np.uint64).reshape(-1, 3).T
            path.unlink()


class _Groups(NamedTuple):
    lines_3G: Hashes
    room: int
    """Of all of them in the notes."""


def _group(items_3N: Hashes, first_room: int) -> _Groups:
    order = np.lexsort((items_3N[PLACE], items_3N[RANK], items_3N[_KEY]))
    ranked = items_3N[_KEY, order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(ranked)])
    counts = np.diff(starts, append=len(ranked))
    starts, counts = starts[counts > 1], counts[counts > 1]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    members_G = order[np.repeat(starts, counts) + within]
    room = np.cumsum(counts + 1) - (counts + 1) + first_room
    lines_3G = items_3N[:, members_G]
    lines_3G[GROUP] = np.repeat(room, counts)
    ascending = np.lexsort((lines_3G[PLACE], lines_3G[RANK]))
    return _Groups(np.ascontiguousarray(lines_3G[:, ascending]), int((counts + 1).sum()))


def _map_parts(path: Path, sizes: Sequence[int]) -> list[Hashes]:
    """Arrays (3, size) that stand one after another in a file."""
    if not sum(sizes):
        return [np.empty((3, 0), np.uint64)]
    mapped, start, found = np.asarray(np.memmap(path, np.uint64, "r")), 0, list[Hashes]()
    for size in sizes:
        found.append(mapped[start : start + 3 * size].reshape(3, size))
        start += 3 * size
    return found


def _find(lines_3G: Hashes, border: _Border) -> int:
    """How many lines come before it."""
    rank = np.uint64(border.rank)
    first, last = (int(np.searchsorted(lines_3G[RANK], rank, side)) for side in ("left", "right"))
    place = np.uint64(border.place)
    return first + int(np.searchsorted(lines_3G[PLACE, first:last], place))
