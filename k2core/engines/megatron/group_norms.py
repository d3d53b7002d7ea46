"""Gradient norms and update sizes by kind of parameter, summed over ranks."""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.engines.megatron.matrices import is_expert

GROUPS = (
    "embedding",
    "output",
    "norms",
    "attention",
    "dense_ffn",
    "router",
    "shared_experts",
    "experts",
)
"""The last five are matrices to an optimizer, the first three not (arXiv:2502.16982, 2.2)."""


def group_of(name: str, parameter: Tensor) -> str:
    """The group of a parameter by its global name."""
    if parameter.dim() < 2:
        return "norms"
    if name.startswith("embedding."):
        return "embedding"
    if name.startswith("output_layer."):
        return "output"
    if is_expert(name):
        return "experts"
    for part, group in (("router", "router"), ("shared_experts", "shared_experts")):
        if f".{part}." in name:
            return group
    return "attention" if ".self_attention." in name else "dense_ffn"


class GroupNorms:
    """Sums of squares of gradients and updates over one step.

    Args:
        parameters: by global name.
        shares: by name, the part of a parameter's sum that this rank counts: less than 1 where
            other ranks hold, and count, the same elements.
    """

    def __init__(
        self, parameters: Mapping[str, torch.nn.Parameter], shares: Mapping[str, float]
    ) -> None:
        self._place = {n: GROUPS.index(group_of(n, p)) for n, p in parameters.items()}
        self._shares = dict(shares)
        device = next(iter(parameters.values())).device
        zeros = torch.zeros(3, len(GROUPS), dtype=torch.float64, device=device)
        self._gradients, self._updates, self._counts = zeros  # g each

    def start(self) -> None:
        """Forget the step before."""
        for sums in (self._gradients, self._updates, self._counts):
            sums.zero_()

    def add_gradients(self, names: Sequence[str], gradients: Sequence[Tensor]) -> None:
        """Count gradients, as they are before clipping."""
        self._add(self._gradients, names, gradients, [self._shares[name] for name in names])

    def add_updates(
        self, names: Sequence[str], directions: Sequence[Tensor], scales: Sequence[float]
    ) -> None:
        """Count what a step subtracts a unit of learning rate, weight decay left out.

        Args:
            names: of parameters; one may come several times, matrix by matrix.
            directions: this rank's elements.
            scales: factor of each direction.
        """
        shares = [self._shares[name] for name in names]
        weights = [x * scale**2 for x, scale in zip(shares, scales, strict=True)]
        self._add(self._updates, names, directions, weights)
        sizes = [x * d.numel() for x, d in zip(shares, directions, strict=True)]
        index = torch.tensor([self._place[name] for name in names], device=self._counts.device)
        self._counts.index_add_(0, index, self._counts.new_tensor(sizes))

    def _add(
        self,
        sums: Tensor,
        names: Sequence[str],
        tensors: Sequence[Tensor],
        weights: Sequence[float],
    ) -> None:
        if not tensors:
            return
        squares = torch.stack(torch._foreach_norm(list(tensors))).double().square()  # n
        index = torch.tensor([self._place[name] for name in names], device=sums.device)
        sums.index_add_(0, index, squares * sums.new_tensor(weights))

    def read(self) -> dict[str, float]:
        """`grad_norm/GROUP` and `update_rms/GROUP` of the whole model; all ranks take part."""
        total = torch.stack([self._gradients, self._updates, self._counts])
        if dist.get_world_size() > 1:
            dist.all_reduce(total)
        found = {}
        for group, (grad, update, count) in zip(GROUPS, total.T.tolist(), strict=True):
            if count:
                found[f"grad_norm/{group}"] = grad**0.5
                found[f"update_rms/{group}"] = (update / count) ** 0.5
        return found
