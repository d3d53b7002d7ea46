"""Rows that begin alike laid into one: what they share is computed once.

The samples of a problem have its prompt in common, and those that went on alike their first turns
too. A causal model makes the same of it in each, so it stands once in one row of branches, of which
each sees those that it grew from and itself. What the router counts and what the loss reads is
spread over the rows again: values and gradients are those of the rows one by one, whose sums are
taken in another order.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from k2core.engines.megatron.attention import QueryBlock, Span, cut_queries
from k2core.engines.megatron.batch import PADDING, Batch
from schemas.placement import Placement

if TYPE_CHECKING:
    from megatron.core.models.gpt.gpt_model import GPTModel

GROUP = "group"
"""In `Batch.extra`: [B] int, of rows that may begin alike; equal ones stand together."""


class Branch(NamedTuple):
    """Tokens that some rows share, from `start` to `stop` of the folded row."""

    start: int
    stop: int
    depth: int
    """Tokens before it in each of its rows."""
    trunk: tuple[Span, ...]
    """Where those lie."""
    rows: tuple[int, ...]


class Folding(NamedTuple):
    """B rows of S columns as one of T tokens, in N branches; padding at its end is in none."""

    tokens: Tensor
    """[1, T]."""
    padding: Tensor
    """[1, T] bool."""
    positions: Tensor
    """[T] of each token in its rows."""
    places: Tensor
    """[B, S] of each row's token in the folded row; 0 in padding."""
    branch: Tensor
    """[T] of each token; N in padding."""
    members: Tensor
    """[B, N + 1] float, 1 where a row passes through a branch."""
    blocks: tuple[QueryBlock, ...]
    """Of attention."""

    @property
    def copies(self) -> Tensor:
        """[T] rows that have each token."""
        return self.members.sum(0)[self.branch]

    def sum_rows(self, values: Tensor) -> Tensor:
        """Values [T, e] of tokens, added up in each row [B, e]."""
        width = self.members.size(1)
        sums = values.new_zeros(width, values.size(1)).index_add(0, self.branch, values)
        return self.members.to(values.dtype) @ sums

    def to(self, device: torch.device) -> "Folding":
        """The same there."""
        tensors = {name: getattr(self, name).to(device) for name in self._fields[:-1]}
        return self._replace(**tensors)


def can_fold(placement: Placement, model: "GPTModel") -> bool:
    """Whether rows are folded in a layout; elsewhere they run one by one, to the same effect.

    Ranks that share a sequence (tp, cp) would have to share branches; layers that the backward runs
    anew as a whole would find another micro-batch's folding; and the kernel of GPUs knows none.
    """
    cores = [layer.self_attention.core_attention for layer in model.decoder.layers]
    whole = placement.tp == placement.cp == 1 and placement.recompute != "full"
    return whole and all(core.folds for core in cores)


def cut_groups(batch: Batch, rows: int) -> list[range]:
    """The rows of each pass: folded, no more tokens than so many of its longest rows have.

    A group is cut only where it is larger than that number of rows.
    """
    dealt, cuts, size, longest = _used(batch), list[range](), 0, 0
    for piece in _pieces(batch.extra[GROUP].tolist(), rows):
        own = dealt[piece.start : piece.stop]
        more, width = folded_size(own), max(map(len, own))
        if cuts and size + more <= rows * max(longest, width):
            cuts[-1] = range(cuts[-1].start, piece.stop)
            size, longest = size + more, max(longest, width)
        else:
            cuts.append(piece)
            size, longest = more, width
    return cuts


def _pieces(groups: Sequence[int], rows: int) -> Iterator[range]:
    """Runs of equal groups, of at most so many rows."""
    start = 0
    for _, members in groupby(groups):
        end = start + len(list(members))
        for first in range(start, end, rows):
            yield range(first, min(first + rows, end))
        start = end


def folded_size(rows: Sequence[list[int]]) -> int:
    """Tokens of rows that are laid into one."""
    return _size(_lay(rows))


def fold_rows(batch: Batch, width: int | None = None) -> Folding:
    """Lay rows into one.

    Args:
        batch: on the CPU; each row one segment, padding at its end.
        width: tokens to pad to; None pads nothing but an empty batch, to one.

    Raises:
        ValueError: a row has several segments.
    """
    rows = _used(batch)
    branches = _lay(rows)
    size = _size(branches)
    length = max(width or 1, size)
    tokens, positions = (torch.zeros(length, dtype=torch.long) for _ in range(2))
    branch = torch.full((length,), len(branches))
    places = torch.zeros(batch.tokens.shape, dtype=torch.long)
    members = torch.zeros(len(rows), len(branches) + 1)
    for number, (start, stop, depth, _, owners) in enumerate(branches):
        end = depth + stop - start
        tokens[start:stop] = batch.tokens[owners[0], depth:end]
        positions[start:stop] = torch.arange(depth, end)
        branch[start:stop] = number
        places[list(owners), depth:end] = torch.arange(start, stop)
        members[list(owners), number] = 1.0
    blocks = tuple(b for one in branches for b in cut_queries(0, one.trunk, one.start, one.stop))
    padding = torch.arange(length)[None] >= size
    return Folding(tokens[None], padding, positions, places, branch, members, blocks)


def _used(batch: Batch) -> list[list[int]]:
    """Each row's tokens, without padding."""
    used = batch.segments != PADDING
    for row, (found, own) in enumerate(zip(batch.segments, used, strict=True)):
        if bool((found[own] != found[0]).any()):
            raise ValueError(f"row {row} has several segments: rows with a group have one")
    lengths = used.sum(1).tolist()
    return [row[:n].tolist() for row, n in zip(batch.tokens, lengths, strict=True)]


def _lay(rows: Sequence[list[int]]) -> list[Branch]:
    """All branches of rows, end to end."""
    return list(_grow(rows, tuple(i for i, row in enumerate(rows) if row), (), 0, 0))


def _size(branches: Sequence[Branch]) -> int:
    """Tokens of branches end to end; rows may have none."""
    return branches[-1].stop if branches else 0


def _grow(
    rows: Sequence[list[int]], owners: tuple[int, ...], trunk: tuple[Span, ...], depth: int, at: int
) -> Iterator[Branch]:
    """Branches of rows that agree up to `depth` and are longer, laid down from `at` on."""
    heads = dict[int, list[int]]()
    for owner in owners:
        heads.setdefault(rows[owner][depth], []).append(owner)
    for group in heads.values():
        end = _agree([rows[owner] for owner in group], depth)
        branch = Branch(at, at + end - depth, depth, trunk, tuple(group))
        yield branch
        at = branch.stop
        longer = tuple(owner for owner in group if len(rows[owner]) > end)
        for further in _grow(rows, longer, (*trunk, Span(branch.start, at)), end, at):
            yield further
            at = further.stop


def _agree(rows: Sequence[list[int]], depth: int) -> int:
    """Tokens that all have in common, given that those up to `depth` are."""
    low, high = min(rows), max(rows)  # all others lie between, in the order of lists
    end = depth
    while end < min(len(low), len(high)) and low[end] == high[end]:
        end += 1
    return end
