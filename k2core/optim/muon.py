"""Muon for matrices and AdamW for the rest, as pure updates of given state."""

import math

import torch
from torch import Tensor

from schemas.optim import OptimConfig


def advance_momentum(grad: Tensor, momentum: Tensor, config: OptimConfig) -> Tensor:
    """M = mu M + G in place; returns what Newton-Schulz is fed (of any shape, element by element).

    That is M itself (arXiv:2507.20534, algorithm 1, lines 4 and 5), or with `nesterov` G + mu M
    (arXiv:2502.16982, section 2.1), which then takes the gradient's place: no third buffer.
    """
    torch.add(grad, momentum, alpha=config.momentum, out=momentum)
    return grad.add_(momentum, alpha=config.momentum) if config.nesterov else momentum


def update_scale(rows: int, columns: int, config: OptimConfig) -> float:
    """0.2 * sqrt(max(n, m)) matches AdamW's update RMS (arXiv:2507.20534, algorithm 1, line 6)."""
    return config.update_rms * math.sqrt(max(rows, columns))


def adamw_direction(
    grad: Tensor, mean: Tensor, square: Tensor, step: int, config: OptimConfig
) -> Tensor:
    """Advance both moments in place and return Adam's direction (arXiv:1711.05101, algorithm 2).

    Args:
        grad: of any shape.
        mean: first moment, changed in place.
        square: second moment, changed in place.
        step: optimizer step, counted from 1, for the bias correction.
        config: betas and epsilon.
    """
    beta1, beta2 = config.adam_betas
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = (square / (1 - beta2**step)).sqrt_().add_(config.adam_eps)
    return (mean / (1 - beta1**step)).div_(denominator)
