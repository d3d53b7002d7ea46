"""An optimizer on sharded parameters: ZeRO-1 by matrix or flat, under TP, CP, PP and EP."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.engines.megatron.bucket import FlatBucket, PartSpan, is_replicated, split_buckets
from k2core.engines.megatron.group_norms import GroupNorms
from k2core.engines.megatron.matrices import Matrix, is_matrix
from k2core.optim.qk_clip import scale_rows
from k2core.optim.rule import Directions, UpdateRule
from schemas.model import ModelShape


class OptimizerGroups(NamedTuple):
    """The process groups that an optimizer step crosses."""

    data: dist.ProcessGroup
    """Copies of the dense parameters (context-parallel ranks among them)."""
    expert_data: dist.ProcessGroup
    """Copies of the routed experts."""
    tensor: dist.ProcessGroup


class ShardedOptimizer:
    """Fp32 masters and an update rule's buffers, each element on its owner alone.

    A step follows Moonlight's algorithm 1 (arXiv:2502.16982, section 2.3): gradients are summed to
    owners, the rule's buffers advance there, cut matrices are gathered if it wants them whole, and
    each owner keeps its slice. `flat` decides whether parts are equal or end between matrices;
    without whole matrices they are always equal.

    Args:
        parameters: by global name, in one order on all ranks of a group.
        rule: the optimizer.
        shape: the model's, for the heads.
        groups: process groups.
        flat: equal parts, wherever the cuts fall.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        rule: UpdateRule,
        shape: ModelShape,
        groups: OptimizerGroups,
        *,
        flat: bool = False,
    ) -> None:
        self.rule, self.groups = rule, groups
        self.parameters = dict(parameters)
        self.num_steps = 0
        dense, experts = split_buckets(parameters)
        pairs = [(dense, groups.data), (experts, groups.expert_data)]
        self.buckets = [
            FlatBucket(part, group, rule=rule, shape=shape, flat=flat)
            for part, group in pairs
            if part
        ]
        self._matrices = {name for name, p in parameters.items() if is_matrix(name, p)}
        copies = dist.get_world_size(groups.tensor)
        shares = {n: 1 / copies if is_replicated(n, p) else 1.0 for n, p in parameters.items()}
        self.norms = GroupNorms(parameters, shares)
        self._states = [
            {span.parameter: self._new_states(span, bucket) for span in bucket.spans}
            for bucket in self.buckets
        ]

    def _new_states(self, span: PartSpan, bucket: FlatBucket) -> dict[str, Tensor]:
        names = self.rule.state_names(matrix=span.parameter in self._matrices)
        return {name: torch.zeros_like(span.of(bucket.master)) for name in names}

    def zero_gradients(self) -> None:
        """Before the first micro-batch."""
        for bucket in self.buckets:
            bucket.gradient.zero_()

    def reduce_gradients(self) -> float:
        """Sum the ranks' gradients, scale them to `clip_grad`, and return the norm before that."""
        self._sum_replicated()
        total = torch.zeros((), dtype=torch.float64, device=self.buckets[0].gradient.device)
        copies = dist.get_world_size(self.groups.tensor)
        self.norms.start()
        for bucket in self.buckets:
            bucket.reduce_gradients()
            names = [span.parameter for span in bucket.spans]
            self.norms.add_gradients(names, [s.of(bucket.own_gradient) for s in bucket.spans])
            if copies == 1:
                total += bucket.own_gradient.norm().double().square()
            else:
                for span in bucket.spans:
                    square = span.of(bucket.own_gradient).norm().double().square()
                    whole = is_replicated(span.parameter, self.parameters[span.parameter])
                    total += square / copies if whole else square
        if dist.get_world_size() > 1:
            dist.all_reduce(total)
        norm = float(total.sqrt())
        largest = self.rule.config.clip_grad
        if largest and norm > largest:
            for bucket in self.buckets:
                bucket.own_gradient.mul_(largest / norm)
        return norm

    @torch.no_grad()
    def step(self, lr: float, row_scales: Mapping[str, Tensor] | None = None) -> None:
        """One update of all parameters from the gradient buffers, then QK-Clip.

        Args:
            lr: learning rate.
            row_scales: factor of each row, by parameter: applied to the masters after the update.
        """
        self.num_steps += 1
        for bucket, states in zip(self.buckets, self._states, strict=True):
            self._update(bucket, states, lr)
            for span in bucket.spans:
                if row_scales and (scales := row_scales.get(span.parameter)) is not None:
                    columns = self.parameters[span.parameter].shape[-1]
                    scale_rows(span.of(bucket.master), scales, columns, span.start)
            bucket.publish()

    def _update(
        self, bucket: FlatBucket, states: Mapping[str, Mapping[str, Tensor]], lr: float
    ) -> None:
        """W = W (1 - lr wd) - lr D on this rank's part."""
        names, weights, directions, fed = [], [], [], dict[str, Tensor]()
        for span in bucket.spans:
            name, grad = span.parameter, span.of(bucket.own_gradient)
            matrix = name in self._matrices
            found = self.rule.advance(grad, states[name], self.num_steps, matrix=matrix)
            if matrix and self.rule.whole_matrices:
                fed[name] = found
            else:
                names.append(name)
                weights.append(span.of(bucket.master))
                directions.append(found)
        if weights:
            torch._foreach_mul_(weights, 1 - lr * self.rule.config.weight_decay)
            torch._foreach_add_(weights, directions, alpha=-lr)
            self.norms.add_updates(names, directions, [1.0] * len(names))
        if bucket.matrices:
            held = bucket.assemble(fed)
            for some in self.rule.directions(self._gather_tensor_parallel(held)):
                self._subtract(bucket, [held[place][0] for place in some.places], some, lr)

    def _subtract(
        self, bucket: FlatBucket, matrices: Sequence[Matrix], found: Directions, lr: float
    ) -> None:
        rank, copies = dist.get_rank(self.groups.tensor), dist.get_world_size(self.groups.tensor)
        scale = found.scale
        pieces = []
        for matrix, direction in zip(matrices, found.stack, strict=True):
            mine = direction
            if matrix.split is not None and copies > 1:
                mine = direction.chunk(copies, matrix.split)[rank]
            first, last = max(matrix.start, bucket.start), min(matrix.stop, bucket.stop)
            target = bucket.master[first - bucket.start : last - bucket.start]
            target.mul_(1 - lr * self.rule.config.weight_decay)  # here, while it is in the cache
            if last - first == matrix.stop - matrix.start:
                target.view(matrix.rows, matrix.columns).add_(mine, alpha=-lr * scale)
                pieces.append(mine)
            else:
                pieces.append(mine.flatten()[first - matrix.start : last - matrix.start])
                target.add_(pieces[-1], alpha=-lr * scale)
        names = [matrix.parameter for matrix in matrices]
        self.norms.add_updates(names, pieces, [scale] * len(names))

    def _gather_tensor_parallel(self, held: list[tuple[Matrix, Tensor]]) -> list[Tensor]:
        """Whole matrices from the tensor-parallel ranks' parts, in one all-gather."""
        copies = dist.get_world_size(self.groups.tensor)
        split = [(m, part) for m, part in held if m.split is not None]
        if copies == 1 or not split:
            return [part for _, part in held]
        own = torch.cat([part.reshape(-1) for _, part in split])
        gathered = [torch.empty_like(own) for _ in range(copies)]
        dist.all_gather(gathered, own, group=self.groups.tensor)
        sizes = [part.numel() for _, part in split]
        pieces = zip(*(flat.split(sizes) for flat in gathered), strict=True)
        whole = {
            m: torch.cat([piece.view_as(part) for piece in ranks], m.split or 0)
            for (m, part), ranks in zip(split, pieces, strict=True)
        }
        return [whole.get(matrix, part) for matrix, part in held]

    def _sum_replicated(self) -> None:
        """Copies of a parameter on tensor-parallel ranks each saw a part of the sequence."""
        if dist.get_world_size(self.groups.tensor) == 1:
            return
        bucket = self.buckets[0]
        grads = [
            bucket.gradient[bucket.starts[n] : bucket.starts[n] + p.numel()]
            for n, p in bucket.parameters.items()
            if is_replicated(n, p)
        ]
        total = torch.cat(grads)
        dist.all_reduce(total, group=self.groups.tensor)
        torch._foreach_copy_(grads, list(total.split([g.numel() for g in grads])))

    def named_states(self) -> dict[str, Tensor]:
        """This rank's share of masters and buffers, keyed `kind/parameter/first element`."""
        found = {}
        for bucket, states in zip(self.buckets, self._states, strict=True):
            for span in bucket.spans:
                place = f"{span.parameter}/{span.start}"
                found[f"weight/{place}"] = span.of(bucket.master)
                for name, tensor in states[span.parameter].items():
                    found[f"{name}/{place}"] = tensor
        return found
