"""Which engine has which dialogues: as much for each as can be known before."""

from collections.abc import Sequence
from typing import NamedTuple

from k2core.engines.protocol import Ask


class _Group(NamedTuple):
    """Dialogues that begin alike: together, their beginning is computed once."""

    weight: int
    """Tokens that they are expected to write, or may."""
    asks: list[Ask]


def deal_dialogues(first: Sequence[Ask], num_engines: int) -> list[list[Ask]]:
    """First turns, an engine each; the largest groups first, to whoever has least.

    A group that would be more than an engine's even share is cut.
    """
    most = max(1, -(-len(first) // num_engines))
    parts: list[list[Ask]] = [[] for _ in range(num_engines)]
    loads = [0] * num_engines
    for group in sorted(_group(first, most), key=lambda g: (-g.weight, g.asks[0].place)):
        least = min(range(num_engines), key=lambda number: (loads[number], number))
        parts[least] += group.asks
        loads[least] += group.weight
    return [sorted(part, key=lambda ask: ask.place) for part in parts]


def _group(first: Sequence[Ask], most: int) -> list[_Group]:
    by_prompt: dict[tuple[int, ...], list[Ask]] = {}
    for ask in first:
        by_prompt.setdefault(tuple(ask.prompt), []).append(ask)
    return [
        _Group(sum(ask.expected.mean for ask in part), part)
        for asks in by_prompt.values()
        for start in range(0, len(asks), most)
        if (part := asks[start : start + most])
    ]
