"""Newton-Schulz orthogonalisation of momentum matrices."""

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""The quintic's coefficients (arXiv:2502.16982, section 2.1, equation 2)."""


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace each matrix's singular values by values near 1, keeping its singular vectors.

    X_0 = M / |M|_F, X_k = a X + b (X X^T) X + c (X X^T)^2 X  (arXiv:2502.16982, equation 2).
    Singular values land near uniform(0.5, 1.5), not at 1: the coefficients buy speed.

    Args:
        matrices: [..., n, m], computed in its own dtype; a batch shares its matrix products.
        steps: iterations; 5 is published, 10 is no better.
    """
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    batch = x.shape[:-2]
    x = x.reshape(-1, *x.shape[-2:])  # k n m, n <= m: the small side is squared
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        quintic = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, quintic, x, beta=_A)
    x = x.reshape(*batch, *x.shape[-2:])
    return x.mT if tall else x
