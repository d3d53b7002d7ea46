"""Which rows of a global batch a rank trains on."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def own_bounds(count: int, part: int, num_parts: int) -> tuple[int, int]:
    """First of `count` rows that part `part` has, and one past its last: as even as possible."""
    return count * part // num_parts, count * (part + 1) // num_parts


def own_part(rows: Sequence[T], part: int, num_parts: int) -> Sequence[T]:
    """The rows themselves."""
    first, last = own_bounds(len(rows), part, num_parts)
    return rows[first:last]
