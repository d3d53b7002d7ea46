"""Shuffles computed by index: where an element comes is a function, and nothing is laid out."""

import hashlib
from typing import NamedTuple

_MASK = 2**64 - 1
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
"""Odd factors of MurmurHash3's finaliser."""


class _Round(NamedTuple):
    pivot: int
    salt: int


class Permutation:
    """A permutation of 0 .. size - 1 drawn by a key, one element at a time, both ways.

    Swap-or-not (Hoang, Morris, Rogaway, CRYPTO 2012, arXiv:1208.1176): each round pairs x with
    pivot - x modulo the size, and a keyed coin of the pair says whether the two change places. It
    works for any size as it is; a Feistel network would have to walk cycles and, on few elements,
    reaches only some of the orders. Memory is the rounds' alone.

    Args:
        size: elements.
        key: draws the permutation, by its text.
    """

    def __init__(self, size: int, key: tuple[int | str, ...]) -> None:
        self.size = size
        # An element's distance from uniform halves every other round.
        count = 48 + 2 * size.bit_length()
        self._rounds = [self._draw_round(key, number) for number in range(count)] if size else []

    def _draw_round(self, key: tuple[int | str, ...], number: int) -> _Round:
        digest = hashlib.blake2b(repr((*key, number)).encode(), digest_size=24).digest()
        pivot = int.from_bytes(digest[:16], "little") % self.size
        return _Round(pivot, int.from_bytes(digest[16:], "little"))

    def __getitem__(self, index: int) -> int:
        """The element at a place."""
        return self._walk(index, self._rounds)

    def place(self, element: int) -> int:
        """Where an element comes: the inverse, since each round undoes itself."""
        return self._walk(element, self._rounds[::-1])

    def _walk(self, x: int, rounds: list[_Round]) -> int:
        if not 0 <= x < self.size:
            raise IndexError(f"{x} of a permutation of {self.size}")
        for pivot, salt in rounds:
            partner = pivot - x
            if partner < 0:
                partner += self.size
            coin = (max(x, partner) ^ salt) * _FIRST & _MASK
            coin = (coin ^ coin >> 33) * _SECOND & _MASK
            if coin >> 63:
                x = partner
        return x
