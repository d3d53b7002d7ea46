"""ZeRO-1: where a flat buffer of parameters is cut, a part a rank."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Atom(NamedTuple):
    """A run of elements that is not cut: a matrix, or a parameter that is none."""

    size: int
    cost: int


def newton_schulz_cost(rows: int, columns: int) -> int:
    """Multiplications of one iteration: n^2 (2 m + n), n being the small side."""
    small, large = sorted((rows, columns))
    return small * small * (2 * large + small)


def cut_flat(size: int, num_parts: int) -> list[int]:
    """Ends of equal parts, wherever they fall (arXiv:2502.16982, algorithm 1)."""
    part = -(-size // num_parts)
    return [0, *(min(size, part * (rank + 1)) for rank in range(num_parts))]


def cut_between(atoms: Sequence[Atom], num_parts: int) -> list[int]:
    """Ends of parts of about equal cost that hold whole atoms."""
    ends = list(accumulate((atom.size for atom in atoms), initial=0))
    costs = list(accumulate((atom.cost for atom in atoms), initial=0))
    cuts = [0]
    for rank in range(1, num_parts):
        target = costs[-1] * rank / num_parts
        nearest = min(range(len(ends)), key=lambda i: abs(costs[i] - target))
        cuts.append(max(cuts[-1], ends[nearest]))
    return [*cuts, ends[-1]]
