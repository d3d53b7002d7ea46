"""Muon for matrices and AdamW for the rest, as pure updates of given state."""

import math

import torch
from torch import Tensor

from k2core.optim.newton_schulz import orthogonalize
from schemas.optim import OptimConfig


def muon_direction(grad: Tensor, momentum: Tensor, config: OptimConfig) -> Tensor:
    """Advance the momentum in place and return the update's direction, RMS-matched to AdamW's.

    M = mu M + G; O = NewtonSchulz(M) * 0.2 * sqrt(max(n, m))  (arXiv:2507.20534, algorithm 1,
    lines 4 to 6). With `nesterov`, Newton-Schulz is fed G + mu M (arXiv:2502.16982, section 2.1).

    Args:
        grad: [..., n, m].
        momentum: M, of the same shape; changed in place.
        config: mu, Nesterov, Newton-Schulz steps and the update's RMS.
    """
    momentum.mul_(config.momentum).add_(grad)
    fed = grad.add(momentum, alpha=config.momentum) if config.nesterov else momentum
    scale = config.update_rms * math.sqrt(max(grad.shape[-2:]))
    return orthogonalize(fed, config.newton_schulz_steps).mul_(scale)


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


@torch.no_grad()
def apply_directions(
    parameters: list[Tensor], directions: list[Tensor], lr: float, weight_decay: float
) -> None:
    """W = W - lr (O + wd W), in place (arXiv:2507.20534, algorithm 1, line 7)."""
    torch._foreach_mul_(parameters, 1 - lr * weight_decay)
    torch._foreach_add_(parameters, directions, alpha=-lr)
