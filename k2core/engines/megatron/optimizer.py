"""MuonClip over the data-parallel ranks: every matrix belongs to one rank (ZeRO-1 by matrix)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from k2core.optim.muon import adamw_direction, apply_directions, muon_direction
from schemas.optim import OptimConfig

_ADAMW = ("embedding.word_embeddings.weight", "output_layer.weight")


class Matrix(NamedTuple):
    """One matrix that Newton-Schulz sees: the `place`-th of a parameter, and the rank it is on."""

    parameter: str
    place: int
    shape: tuple[int, int]
    owner: int

    @property
    def key(self) -> str:
        """Its name in a checkpoint."""
        return f"momentum/{self.parameter}/{self.place}"


def matrix_shape(name: str, parameter: Tensor) -> tuple[int, int] | None:
    """Rows and columns of each matrix in a parameter; None if AdamW has it.

    Stacked experts are a matrix each; gate and up, fused in fc1 and `weight1`, are two. Norm
    gains, the embedding and the output layer go to AdamW (arXiv:2502.16982, section 2.2).
    """
    if parameter.dim() < 2 or name.endswith(_ADAMW):
        return None
    rows, columns = parameter.shape[-2:]
    fused = name.endswith(("linear_fc1.weight", "experts.weight1"))
    return (rows // 2 if fused else rows), columns


def deal_matrices(parameters: Mapping[str, Tensor], num_ranks: int) -> list[Matrix]:
    """Give each matrix to the least loaded rank, dearest first; equal on all ranks."""
    found = []
    for name, parameter in parameters.items():
        if shape := matrix_shape(name, parameter):
            count = parameter.numel() // (shape[0] * shape[1])
            found += [(name, index, shape) for index in range(count)]

    def cost(shape: tuple[int, int]) -> int:
        small, large = sorted(shape)
        return small * small * (2 * large + small)  # products of one Newton-Schulz iteration

    found.sort(key=lambda item: (-cost(item[2]), item[2]))
    load, dealt = [0] * num_ranks, []
    for name, index, shape in found:
        owner = load.index(min(load))
        load[owner] += cost(shape)
        dealt.append(Matrix(name, index, shape, owner))
    return sorted(dealt, key=lambda m: (m.owner, m.shape))


class MuonClipOptimizer:
    """Muon and AdamW on fp32 parameters whose gradients lie in one flat buffer.

    All ranks hold all weights and, after the all-reduce, all gradients. Momentum and
    Newton-Schulz live on a matrix's owner only, which broadcasts the direction; so the weights
    stay bitwise equal on all ranks. QK-Clip follows in the trainer, which knows the heads.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], config: OptimConfig) -> None:
        self.config = config
        self.parameters = dict(parameters)
        self.num_steps = 0
        sizes = [p.numel() for p in parameters.values()]
        device = next(iter(parameters.values())).device
        self.gradient = torch.zeros(sum(sizes), device=device)
        for p, part in zip(parameters.values(), torch.split(self.gradient, sizes), strict=True):
            p.grad = part.view_as(p)

        self.rank, self.num_ranks = dist.get_rank(), dist.get_world_size()
        self.matrices = deal_matrices(parameters, self.num_ranks)
        self._directions = torch.zeros(sum(m.shape[0] * m.shape[1] for m in self.matrices))
        self._directions = self._directions.to(device)
        self._momentum = torch.zeros_like(self._slice_of(self.rank, self._directions))

        self._adam = {n: p for n, p in parameters.items() if matrix_shape(n, p) is None}
        self._mean = {n: torch.zeros_like(p) for n, p in self._adam.items()}
        self._square = {n: torch.zeros_like(p) for n, p in self._adam.items()}

    def reduce_gradients(self) -> float:
        """Sum the ranks' gradients, scale them to `clip_grad`, and return the norm before that."""
        if self.num_ranks > 1:
            dist.all_reduce(self.gradient)
        norm = float(self.gradient.norm())
        if self.config.clip_grad and norm > self.config.clip_grad:
            self.gradient.mul_(self.config.clip_grad / norm)
        return norm

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update of all parameters from the gradient buffer."""
        self.num_steps += 1
        self._update_owned()
        for owner in range(self.num_ranks if self.num_ranks > 1 else 0):
            part = self._slice_of(owner, self._directions)
            if part.numel():
                dist.broadcast(part, src=owner)
        weights = [self._view(m, self.parameters[m.parameter].data) for m in self.matrices]
        directions = self._split(self.matrices, self._directions)
        weights += [p.data for p in self._adam.values()]
        directions += [
            adamw_direction(
                self._grad(n), self._mean[n], self._square[n], self.num_steps, self.config
            )
            for n in self._adam
        ]
        apply_directions(weights, directions, lr, self.config.weight_decay)

    def _update_owned(self) -> None:
        """Momentum and Newton-Schulz of this rank's matrices, equal shapes in one batch."""
        owned = [m for m in self.matrices if m.owner == self.rank]
        mine, start = self._slice_of(self.rank, self._directions), 0
        for shape in dict.fromkeys(m.shape for m in owned):
            group = [m for m in owned if m.shape == shape]
            stop = start + len(group) * shape[0] * shape[1]
            grads = torch.stack([self._view(m, self._grad(m.parameter)) for m in group])
            momentum = self._momentum[start:stop].view(len(group), *shape)
            mine[start:stop].view_as(momentum).copy_(muon_direction(grads, momentum, self.config))
            start = stop

    def state_tensors(self) -> dict[str, Tensor]:
        """This rank's share of the state: momentum by matrix; Adam's moments on rank 0."""
        owned = [m for m in self.matrices if m.owner == self.rank]
        state = {m.key: t for m, t in zip(owned, self._split(owned, self._momentum), strict=True)}
        if self.rank == 0:
            state |= {f"mean/{n}": t for n, t in self._mean.items()}
            state |= {f"square/{n}": t for n, t in self._square.items()}
        return {key: tensor.cpu().clone() for key, tensor in state.items()}

    def load_state_tensors(self, state: Mapping[str, Tensor], num_steps: int) -> None:
        """Take up the state of all ranks together, however many wrote it."""
        owned = [m for m in self.matrices if m.owner == self.rank]
        for m, part in zip(owned, self._split(owned, self._momentum), strict=True):
            part.copy_(state[m.key])
        for name in self._adam:
            self._mean[name].copy_(state[f"mean/{name}"])
            self._square[name].copy_(state[f"square/{name}"])
        self.num_steps = num_steps

    def _grad(self, name: str) -> Tensor:
        grad = self.parameters[name].grad
        if grad is None:  # someone set gradients to None: the buffer would go stale unseen
            raise RuntimeError(f"{name} lost its place in the gradient buffer")
        return grad

    def _slice_of(self, rank: int, flat: Tensor) -> Tensor:
        before = sum(m.shape[0] * m.shape[1] for m in self.matrices if m.owner < rank)
        size = sum(m.shape[0] * m.shape[1] for m in self.matrices if m.owner == rank)
        return flat[before : before + size]

    @staticmethod
    def _view(matrix: Matrix, whole: Tensor) -> Tensor:
        return whole.view(-1, *matrix.shape)[matrix.place]

    @staticmethod
    def _split(matrices: list[Matrix], flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [m.shape[0] * m.shape[1] for m in matrices])
        return [part.view(m.shape) for m, part in zip(matrices, parts, strict=True)]
