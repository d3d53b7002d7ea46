"""Several sequences dealt into one, evenly, by index alone."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class Dealt(NamedTuple):
    """Which element comes."""

    part: int
    """The sequence that it is of."""
    place: int
    """In that sequence."""


class Deal:
    """Element j of n goes to (j + 1/2) / n of the way; of equals the earlier part's comes first.

    Every prefix holds each part's share to within an element or two.

    Args:
        sizes: elements of each part.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = list(sizes)
        self.size = sum(sizes)

    def __getitem__(self, index: int) -> Dealt:
        """The element at a place of the whole."""
        if not 0 <= index < self.size:
            raise IndexError(f"{index} of {self.size}")
        for part, size in enumerate(self._sizes):
            # index = size_of_all (j + 1/2) / size, give or take half an element a part
            about, room = index * size // self.size, len(self._sizes) + 1
            near = range(max(0, about - room), min(size, about + room + 1))
            found = bisect_left(near, index, key=lambda j, part=part: self.index(part, j))  # type: ignore[misc]
            if found < len(near) and self.index(part, near[found]) == index:
                return Dealt(part, near[found])
        raise AssertionError(f"no part of {self._sizes} has place {index}")

    def index(self, part: int, place: int) -> int:
        """Where an element of a part comes in the whole: how many come before it."""
        size, odd = self._sizes[part], 2 * place + 1
        before = 0
        for other, others in enumerate(self._sizes):
            # elements k with (2k + 1) / others below odd / size, or not above it
            passed = odd * others - (other >= part)
            before += (passed // size + 1) // 2
        return before
