"""A Muon update of 48 expert matrices [64, 128], one thread: ours against torch.optim.Muon."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.table import Row, median_seconds
from k2core.optim.muon import apply_directions, muon_direction
from k2core.optim.newton_schulz import orthogonalize
from schemas.optim import OptimConfig

_LR = 1e-3


def measure() -> list[Row]:
    """Time of a step, and how far the orthogonalised update is from a float64 one."""
    torch.set_num_threads(1)
    gradients = torch.randn(48, 64, 128, generator=torch.Generator().manual_seed(0))
    exact = orthogonalize(gradients.double())
    ours, theirs = _our_step(gradients), _torch_step(gradients)
    return [
        Row("ours, batched, fp32", ours, _error(orthogonalize(gradients), exact)),
        Row("torch, one by one, bf16", theirs, _error(_by_torch(gradients), exact)),
    ]


def _our_step(gradients: Tensor) -> float:
    weights, momentum = torch.zeros_like(gradients), torch.zeros_like(gradients)
    config = OptimConfig(lr=_LR)

    def step() -> None:
        direction = muon_direction(gradients, momentum, config)
        apply_directions([weights], [direction], _LR, config.weight_decay)

    return median_seconds(step)


def _torch_step(gradients: Tensor) -> float:
    weights = [torch.zeros_like(gradient, requires_grad=True) for gradient in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    return median_seconds(_torch_muon(weights).step)


def _torch_muon(weights: Sequence[Tensor]) -> torch.optim.Muon:
    return torch.optim.Muon(
        weights, lr=_LR, momentum=0.95, nesterov=False, adjust_lr_fn="match_rms_adamw"
    )


def _by_torch(gradients: Tensor) -> Tensor:
    """The orthogonalised matrices that a first step of torch's optimizer subtracts."""
    weights = [torch.zeros_like(gradient, requires_grad=True) for gradient in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    _torch_muon(weights).step()
    scale = -_LR * 0.2 * math.sqrt(max(gradients.shape[-2:]))
    return torch.stack([weight.detach() for weight in weights]) / scale


def _error(found: Tensor, exact: Tensor) -> str:
    return f"relative error {((found.double() - exact).norm() / exact.norm()).item():.1e}"
