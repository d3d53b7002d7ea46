"""Newton-Schulz orthogonalisation of momentum matrices."""

from collections.abc import Sequence

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""The quintic's coefficients (arXiv:2502.16982, section 2.1, equation 2)."""
_EPSILON = 1e-7
_GRAM_RATIO = 1.75
"""Large over small side from which the Gram form is no slower (measured: docs/log.md)."""
_STACK_SIDE = 96
"""Small side up to which an fp32 batched product beats a loop (measured: docs/log.md)."""
_BF16_NUMEL = 2**17
"""Elements of a matrix up to which a bf16 batched product beats a loop (measured: docs/log.md)."""
_STACK_NUMEL = 2**20
"""Elements of a stack at most: larger ones leave the cache."""


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace each matrix's singular values by values near 1, keeping its singular vectors.

    X_0 = M / |M|_F, X_k = a X + b (X X^T) X + c (X X^T)^2 X  (arXiv:2502.16982, equation 2).
    Singular values land near uniform(0.5, 1.5), not at 1: the coefficients buy speed.

    Args:
        matrices: [..., n, m], computed in its own dtype; a batch shares its matrix products.
        steps: iterations; 5 is published, 10 is no better.
    """
    tall = matrices.size(-2) > matrices.size(-1)
    wide = matrices.mT if tall else matrices
    x = wide.reshape(-1, *wide.shape[-2:])  # k n m, n <= m: the small side is squared
    if x.size(0) == 1:
        x = x[0]  # a batched product of one is slower than a plain one
    oblong = x.size(-1) >= _GRAM_RATIO * x.size(-2) and x.dtype != torch.bfloat16
    x = (_iterate_gram if oblong else _iterate)(x, steps)
    x = x.view(wide.shape)
    return x.mT if tall else x


def orthogonalize_each(
    matrices: Sequence[Tensor], steps: int = 5, dtype: torch.dtype | None = None
) -> list[Tensor]:
    """`orthogonalize` for matrices of any shapes: equal ones stacked where that is faster.

    Args:
        matrices: of any shapes and one dtype.
        steps: iterations.
        dtype: what is computed in, and the results'; None keeps theirs. bf16 is what matrix units
            are for, and right to about 1 in 100.
    """
    out = list(matrices)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, matrix in enumerate(matrices):
        small, large = sorted(matrix.shape)
        groups.setdefault((small, large), []).append(index)
    for (small, large), members in groups.items():
        in_bf16 = dtype == torch.bfloat16
        stacks = small * large <= _BF16_NUMEL if in_bf16 else small <= _STACK_SIDE
        stack = max(1, _STACK_NUMEL // (small * large)) if stacks else 1
        for start in range(0, len(members), stack):
            part = members[start : start + stack]
            found = orthogonalize(_stack([_widen(matrices[i]) for i in part], dtype), steps)
            for index, x in zip(part, found, strict=True):
                out[index] = x.mT if matrices[index].size(0) > matrices[index].size(1) else x
    return out


def _stack(wide: Sequence[Tensor], dtype: torch.dtype | None) -> Tensor:
    """[k, n, m]; one alone of the same type is not copied."""
    dtype = dtype or wide[0].dtype
    if len(wide) == 1:
        return wide[0].to(dtype)[None]
    stacked = wide[0].new_empty(len(wide), *wide[0].shape, dtype=dtype)
    for place, matrix in zip(stacked, wide, strict=True):
        place.copy_(matrix)  # transposed and cast in one pass
    return stacked


def _widen(matrix: Tensor) -> Tensor:
    return matrix.mT if matrix.size(0) > matrix.size(1) else matrix


def _iterate(x: Tensor, steps: int) -> Tensor:
    """Equation 2 as it stands: 4 n^2 m + 2 n^3 operations a step."""
    multiply_add = torch.addmm if x.dim() == 2 else torch.baddbmm
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + _EPSILON)
    for _ in range(steps):
        gram = x @ x.mT
        quintic = multiply_add(gram, gram, gram, beta=_B, alpha=_C)
        x = multiply_add(x, quintic, x, beta=_A)
    return x


def _iterate_gram(x: Tensor, steps: int) -> Tensor:
    """The same polynomial by the Gram matrix alone: 4 n^2 m in all and 8 n^3 a step.

    With G = X X^T and P = b G + c G^2, X_k = (a + P) X and G_k = (a + P) G (a + P); all of these
    commute, so Q = prod (a + P) is gathered and meets X once. What G loses to rounding grows by
    a^2 = 12 a step where singular values are small: 1e-7 in fp32 stays below 0.02, bf16's 4e-3
    bursts, so bf16 takes the plain form.
    """
    multiply_add = torch.addmm if x.dim() == 2 else torch.baddbmm
    gram = x @ x.mT
    norm = gram.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt().add(_EPSILON)[..., None, None]
    gram = gram / norm.square()
    gathered = None
    for step in range(steps):
        quintic = multiply_add(gram, gram, gram, beta=_B, alpha=_C)
        if step + 1 < steps:
            half = multiply_add(gram, quintic, gram, beta=_A)
            gram = multiply_add(half, half, quintic, beta=_A)
        if gathered is None:
            gathered = quintic
            gathered.diagonal(dim1=-2, dim2=-1).add_(_A)
        else:
            gathered = multiply_add(gathered, gathered, quintic, beta=_A)
    return (gathered / norm) @ x if gathered is not None else x / norm
