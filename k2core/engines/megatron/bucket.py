"""Parameters of one data-parallel group, end to end in flat buffers that ranks hold parts of."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.engines.megatron.matrices import Matrix, is_expert, list_matrices, tensor_split
from k2core.optim.partition import Atom, cut_between, cut_flat
from k2core.optim.rule import UpdateRule
from schemas.model import ModelShape

_ELEMENT_COST = 320
"""AdamW's update of an element takes as long as about so many of Newton-Schulz' multiplications."""


class PartSpan(NamedTuple):
    """A parameter's elements in a rank's part: `start` to `stop` of it, at `place` in the part."""

    parameter: str
    start: int
    stop: int
    place: int

    def of(self, part: Tensor) -> Tensor:
        """Its elements (a view)."""
        return part[self.place : self.place + self.stop - self.start]


class FlatBucket:
    """Weights and gradients as flat buffers; masters of this rank's part in fp32.

    The parameters become views of `weights`, their gradients of `gradient`. A rank of the group
    owns one part: gradients are summed to it, it alone updates its masters, and its weights go
    back to all. In fp32 the masters are the weights themselves.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        group: dist.ProcessGroup,
        *,
        rule: UpdateRule,
        shape: ModelShape,
        flat: bool,
    ) -> None:
        self.parameters, self.group = dict(parameters), group
        self.rank, self.num_ranks = dist.get_rank(group), dist.get_world_size(group)
        self._rule = rule
        self.matrices = list_matrices(parameters, rule.config, shape) if rule.whole_matrices else []
        sizes = [p.numel() for p in parameters.values()]
        first = next(iter(parameters.values()))
        self.weights = torch.empty(sum(sizes), dtype=first.dtype, device=first.device)
        self.gradient = torch.zeros(sum(sizes), device=first.device)
        self.starts: dict[str, int] = {}
        parts = zip(self.weights.split(sizes), self.gradient.split(sizes), strict=True)
        for (name, parameter), (weight, grad) in zip(parameters.items(), parts, strict=True):
            self.starts[name] = weight.storage_offset()
            weight.copy_(parameter.data.flatten())
            parameter.data = weight.view_as(parameter)
            self._collect(parameter, grad.view_as(parameter))
        self.cuts = self._cut(flat)
        self.start, self.stop = self.cuts[self.rank], self.cuts[self.rank + 1]
        own = self.weights[self.start : self.stop]
        self.master = own if own.dtype == torch.float32 else own.float()
        self.spans = list(self._spans())
        self._begins = {span.parameter: self.start + span.place for span in self.spans}

    @staticmethod
    def _collect(parameter: torch.nn.Parameter, grad: Tensor) -> None:
        """Add a parameter's gradients, over micro-batches, into the fp32 buffer."""
        if parameter.dtype == grad.dtype:
            parameter.grad = grad
            return

        def move(source: Tensor) -> None:
            if source.grad is not None:
                grad.add_(source.grad)
                source.grad = None

        parameter.register_post_accumulate_grad_hook(move)

    @property
    def own_gradient(self) -> Tensor:
        """The gradient of this rank's part."""
        return self.gradient[self.start : self.stop]

    def reduce_gradients(self) -> None:
        """Sum the group's gradients, each part to its owner (a reduce-scatter of unequal parts)."""
        for rank, (start, stop) in enumerate(pairwise(self.cuts)):
            if self.num_ranks > 1 and stop > start:
                dist.reduce(self.gradient[start:stop], group_dst=rank, group=self.group)

    def publish(self) -> None:
        """Masters to weights, and each owner's weights to all (an all-gather of unequal parts)."""
        own = self.weights[self.start : self.stop]
        if own.data_ptr() != self.master.data_ptr():
            own.copy_(self.master)
        for rank, (start, stop) in enumerate(pairwise(self.cuts)):
            if self.num_ranks > 1 and stop > start:
                dist.broadcast(self.weights[start:stop], group_src=rank, group=self.group)

    def assemble(self, own: Mapping[str, Tensor]) -> list[tuple[Matrix, Tensor]]:
        """This rank's matrices, whole in the group, from each rank's elements of them.

        Only matrices that a cut goes through travel; Moonlight's algorithm 1 gathers all.

        Args:
            own: by parameter, a figure for each of this rank's elements.
        """
        found = []
        for matrix in self.matrices:
            if self.start <= matrix.start and matrix.stop <= self.stop:
                flat = self._elements(own, matrix, matrix.start, matrix.stop)
            elif any(matrix.start < cut < matrix.stop for cut in self.cuts):
                flat = self._gather(matrix, own)
                if matrix.stop <= self.start or self.stop <= matrix.start:
                    continue
            else:
                continue
            found.append((matrix, flat.view(matrix.rows, matrix.columns)))
        return found

    def _elements(self, own: Mapping[str, Tensor], matrix: Matrix, first: int, last: int) -> Tensor:
        begin = self._begins[matrix.parameter]
        return own[matrix.parameter][first - begin : last - begin]

    def _gather(self, matrix: Matrix, own: Mapping[str, Tensor]) -> Tensor:
        whole = self.gradient.new_empty(matrix.stop - matrix.start)
        for rank, (start, stop) in enumerate(pairwise(self.cuts)):
            first, last = max(start, matrix.start), min(stop, matrix.stop)
            if first < last:
                piece = whole[first - matrix.start : last - matrix.start]
                if rank == self.rank:
                    piece.copy_(self._elements(own, matrix, first, last))
                dist.broadcast(piece, group_src=rank, group=self.group)
        return whole

    def _cut(self, flat: bool) -> list[int]:
        if flat or not self.matrices:
            return cut_flat(self.weights.numel(), self.num_ranks)
        atoms, by_name = [], dict[str, list[Matrix]]()
        for matrix in self.matrices:
            by_name.setdefault(matrix.parameter, []).append(matrix)
        for name, parameter in self.parameters.items():
            if name in by_name:
                atoms += [
                    Atom(m.rows * m.columns, self._rule.multiplications(m.rows, m.columns))
                    for m in by_name[name]
                ]
            else:
                atoms.append(Atom(parameter.numel(), parameter.numel() * _ELEMENT_COST))
        return cut_between(atoms, self.num_ranks)

    def _spans(self) -> Iterator[PartSpan]:
        for name, parameter in self.parameters.items():
            begin = self.starts[name]
            first, last = max(begin, self.start), min(begin + parameter.numel(), self.stop)
            if first < last:
                yield PartSpan(name, first - begin, last - begin, first - self.start)


def split_buckets(
    parameters: Mapping[str, torch.nn.Parameter],
) -> tuple[dict[str, torch.nn.Parameter], dict[str, torch.nn.Parameter]]:
    """Dense parameters and routed experts: their data-parallel groups differ under EP and TP."""
    dense = {name: p for name, p in parameters.items() if not is_expert(name)}
    return dense, {name: p for name, p in parameters.items() if is_expert(name)}


def is_replicated(name: str, parameter: Tensor) -> bool:
    """True if tensor-parallel ranks hold copies, whose gradients each come from a part."""
    return not is_expert(name) and tensor_split(parameter) is None
