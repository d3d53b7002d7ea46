"""MuonClip on sharded parameters: ZeRO-1 by matrix or flat, under TP, PP and EP."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.engines.megatron.bucket import Bucket, Span, is_replicated, split_buckets
from k2core.engines.megatron.group_norms import GroupNorms
from k2core.engines.megatron.matrices import Matrix
from k2core.optim.muon import adamw_direction, advance_momentum, update_scale
from k2core.optim.newton_schulz import orthogonalize_each
from k2core.optim.qk_clip import scale_rows
from schemas.model import ModelShape
from schemas.optim import OptimConfig


class Groups(NamedTuple):
    """The process groups that an optimizer step crosses."""

    data: dist.ProcessGroup
    """Copies of the dense parameters (context-parallel ranks among them)."""
    expert_data: dist.ProcessGroup
    """Copies of the routed experts."""
    tensor: dist.ProcessGroup


class MuonClipOptimizer:
    """Muon and AdamW with fp32 masters and one state buffer a matrix, each on its owner alone.

    A step follows Moonlight's algorithm 1 (arXiv:2502.16982, section 2.3): gradients are summed to
    owners, momentum advances there, cut matrices are gathered, Newton-Schulz sees whole matrices,
    and each owner keeps its slice. `flat` decides whether parts are equal or end between matrices.

    Args:
        parameters: by global name, in one order on all ranks of a group.
        config: the optimizer.
        shape: the model's, for the heads.
        groups: process groups.
        flat: equal parts, wherever the cuts fall.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        config: OptimConfig,
        shape: ModelShape,
        groups: Groups,
        *,
        flat: bool = False,
    ) -> None:
        self.config, self.groups = config, groups
        self.parameters = dict(parameters)
        self.num_steps = 0
        dense, experts = split_buckets(parameters)
        pairs = [(dense, groups.data), (experts, groups.expert_data)]
        self.buckets = [
            Bucket(part, group, config=config, shape=shape, flat=flat)
            for part, group in pairs
            if part
        ]
        self._muon = {m.parameter for bucket in self.buckets for m in bucket.matrices}
        copies = dist.get_world_size(groups.tensor)
        shares = {n: 1 / copies if is_replicated(n, p) else 1.0 for n, p in parameters.items()}
        self.norms = GroupNorms(parameters, shares)
        # Muon's momentum and AdamW's first moment share a buffer; only AdamW has a second one.
        self._first = [torch.zeros_like(bucket.master) for bucket in self.buckets]
        self._second = [
            {s.parameter: torch.zeros_like(s.of(b.master)) for s in b.spans if not self._is_muon(s)}
            for b in self.buckets
        ]

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
        if self.config.clip_grad and norm > self.config.clip_grad:
            for bucket in self.buckets:
                bucket.own_gradient.mul_(self.config.clip_grad / norm)
        return norm

    @torch.no_grad()
    def step(self, lr: float, row_scales: Mapping[str, Tensor] | None = None) -> None:
        """One update of all parameters from the gradient buffers, then QK-Clip.

        Args:
            lr: learning rate.
            row_scales: factor of each row, by parameter: applied to the masters after the update.
        """
        self.num_steps += 1
        for bucket, first, second in zip(self.buckets, self._first, self._second, strict=True):
            self._update(bucket, first, second, lr)
            for span in bucket.spans:
                if row_scales and (scales := row_scales.get(span.parameter)) is not None:
                    columns = self.parameters[span.parameter].shape[-1]
                    scale_rows(span.of(bucket.master), scales, columns, span.start)
            bucket.publish()

    def _update(self, bucket: Bucket, first: Tensor, second: dict[str, Tensor], lr: float) -> None:
        grad = bucket.own_gradient
        fed = grad if self.config.nesterov else first
        names, weights, directions = [], [], []
        for span in bucket.spans:
            if self._is_muon(span):
                advance_momentum(span.of(grad), span.of(first), self.config)
            else:
                names.append(span.parameter)
                weights.append(span.of(bucket.master))
                moments = span.of(first), second[span.parameter]
                directions.append(
                    adamw_direction(span.of(grad), *moments, self.num_steps, self.config)
                )
        if weights:
            torch._foreach_mul_(weights, 1 - lr * self.config.weight_decay)
            torch._foreach_add_(weights, directions, alpha=-lr)
            self.norms.add_updates(names, directions, [1.0] * len(names))
        self._orthogonal_updates(bucket, bucket.assemble(fed), lr)

    def _orthogonal_updates(
        self, bucket: Bucket, held: list[tuple[Matrix, Tensor]], lr: float
    ) -> None:
        """W = W - lr (O + wd W), O = 0.2 sqrt(max(n, m)) NewtonSchulz(M), on this rank's slices."""
        whole = self._gather_tensor_parallel(held)
        dtype = torch.bfloat16 if self.config.newton_schulz_precision == "bf16" else None
        for places, found in orthogonalize_each(whole, self.config.newton_schulz_steps, dtype):
            self._subtract(bucket, [held[place][0] for place in places], found, lr)

    def _subtract(
        self, bucket: Bucket, matrices: Sequence[Matrix], found: Tensor, lr: float
    ) -> None:
        rank, copies = dist.get_rank(self.groups.tensor), dist.get_world_size(self.groups.tensor)
        scale = update_scale(found.size(-2), found.size(-1), self.config)
        pieces = []
        for matrix, direction in zip(matrices, found, strict=True):
            mine = direction
            if matrix.split is not None and copies > 1:
                mine = direction.chunk(copies, matrix.split)[rank]
            first, last = max(matrix.start, bucket.start), min(matrix.stop, bucket.stop)
            target = bucket.master[first - bucket.start : last - bucket.start]
            target.mul_(1 - lr * self.config.weight_decay)  # here, while it is in the cache
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

    def _is_muon(self, span: Span) -> bool:
        return span.parameter in self._muon

    def named_states(self) -> dict[str, Tensor]:
        """This rank's share of masters and moments, keyed `kind/parameter/first element`."""
        found = {}
        for bucket, first, second in zip(self.buckets, self._first, self._second, strict=True):
            for span in bucket.spans:
                place = f"{span.parameter}/{span.start}"
                found[f"weight/{place}"] = span.of(bucket.master)
                found[f"first/{place}"] = span.of(first)
                if span.parameter in second:
                    found[f"second/{place}"] = second[span.parameter]
        return found
