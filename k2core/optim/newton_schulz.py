"""Newton-Schulz orthogonalisation of momentum matrices."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""The quintic's coefficients (arXiv:2502.16982, section 2.1, equation 2)."""
_EPSILON = 1e-7
_GRAM_RATIO = 1.75
"""Large over small side from which the Gram form is no slower (measured: docs/log.md)."""
_STACK_SIDE = 128
"""Small side up to which an fp32 batched product beats a loop (measured: docs/log.md)."""
_BF16_NUMEL = 2**18
"""Elements of a matrix below which a bf16 batched product beats a loop (measured: docs/log.md)."""
_STACK_NUMEL, _BF16_STACK_NUMEL = 2**17, 2**19
"""Elements of a stack at most: larger ones leave the cache (measured: docs/log.md)."""


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace each matrix's singular values by values near 1, keeping its singular vectors.

    X_0 = M / |M|_F, X_k = a X + b (X X^T) X + c (X X^T)^2 X  (arXiv:2502.16982, equation 2).
    Singular values land near uniform(0.5, 1.5), not at 1: the coefficients buy speed. The small
    side is squared and nothing is ever transposed: a tall X is multiplied from the right.

    Args:
        matrices: [..., n, m], computed in its own dtype; a batch shares its matrix products.
        steps: iterations; 5 is published, 10 is no better.
    """
    return _orthogonalize(matrices.clone(), steps)


def orthogonalize_each(
    matrices: Sequence[Tensor], steps: int = 5, dtype: torch.dtype | None = None
) -> Iterator[tuple[list[int], Tensor]]:
    """`orthogonalize` for matrices of any shapes: equal ones stacked where that is faster.

    Stacks come one by one, to be used while they are in the cache and then forgotten.

    Args:
        matrices: of any shapes and one dtype.
        steps: iterations.
        dtype: what is computed in, and the results'; None keeps theirs. bf16 is what matrix units
            are for, and right to about 1 in 100.

    Yields:
        Places in `matrices`, each once, and the results for them, [k, n, m].
    """
    groups: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(matrices):
        groups.setdefault(matrix.shape, []).append(index)
    for shape, members in groups.items():
        room = _stack_size(shape, dtype or matrices[0].dtype)
        for start in range(0, len(members), room):
            part = members[start : start + room]
            stack = matrices[0].new_empty(len(part), *shape, dtype=dtype)
            for place, index in zip(stack, part, strict=True):
                place.copy_(matrices[index])
            yield part, _orthogonalize(stack, steps)


def _stack_size(shape: torch.Size, dtype: torch.dtype) -> int:
    """How many matrices of one shape share their products."""
    if dtype == torch.bfloat16:
        stacks, room = shape.numel() < _BF16_NUMEL, _BF16_STACK_NUMEL
    else:
        stacks, room = min(shape) <= _STACK_SIDE, _STACK_NUMEL
    return max(1, room // shape.numel()) if stacks else 1


def _orthogonalize(matrices: Tensor, steps: int) -> Tensor:
    """`matrices` is used up."""
    x = matrices.view(-1, *matrices.shape[-2:])
    if x.size(0) == 1:
        x = x[0]  # a batched product of one is slower than a plain one
    small, large = sorted(x.shape[-2:])
    if x.dtype == torch.bfloat16:
        x = _iterate_rounded(x, steps)
    else:
        x = (_iterate_gram if large >= _GRAM_RATIO * small else _iterate)(x, steps)
    return x.view(matrices.shape)


def _iterate_rounded(x: Tensor, steps: int) -> Tensor:
    """Equation 2 as it stands: 4 n^2 m + 2 n^3 operations a step, in four buffers throughout.

    a X is added to the product before it is rounded: a on the quintic's diagonal, as in fp32,
    would be rounded to 1 in 500 and doubles the error in bf16.
    """
    multiply_add = torch.addmm if x.dim() == 2 else torch.baddbmm
    x.div_(_norm(x))
    spare, gram = torch.empty_like(x), _gram(x)
    quintic = torch.empty_like(gram)
    for step in range(steps):
        if step:
            _gram(x, out=gram)
        multiply_add(gram, gram, gram, beta=_B, alpha=_C, out=quintic)
        pair = (x, quintic) if _is_tall(x) else (quintic, x)
        x, spare = multiply_add(x, *pair, beta=_A, out=spare), x
    return x


def _iterate(x: Tensor, steps: int) -> Tensor:
    """The same with a square completed, where products need no addend, which costs a copy.

    a + b G + c G^2 = c (G + b/2c)^2 + a - b^2/4c: both constants go on diagonals.
    """
    multiply_add = torch.addmm if x.dim() == 2 else torch.baddbmm
    x.div_(_norm(x))
    spare, root = torch.empty_like(x), _gram(x)
    factor = torch.empty_like(root)
    for step in range(steps):
        if step:
            _gram(x, out=root)
        _add_to_diagonal(root, _B / (2 * _C))
        multiply_add(root, root, root, beta=0, alpha=_C, out=factor)
        _add_to_diagonal(factor, _A - _B**2 / (4 * _C))
        x, spare = _multiply(factor, x, out=spare), x
    return x


def _iterate_gram(x: Tensor, steps: int) -> Tensor:
    """The same polynomial by the Gram matrix alone: 4 n^2 m in all and 8 n^3 a step.

    With G = X X^T and S = a + b G + c G^2, X_k = S X and G_k = S G S; all of these commute, so
    Q = prod S is gathered and meets X once. What G loses to rounding grows by a^2 = 12 a step
    where singular values are small: 1e-7 in fp32 stays below 0.02, bf16's 4e-3 bursts, so bf16
    takes the plain form.
    """
    multiply_add = torch.addmm if x.dim() == 2 else torch.baddbmm
    gram = _gram(x)
    norm = gram.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt().add_(_EPSILON)[..., None, None]
    gram.div_(norm.square())
    gathered = None
    for step in range(steps):
        factor = _add_to_diagonal(multiply_add(gram, gram, gram, beta=_B, alpha=_C), _A)
        if step + 1 < steps:
            gram = factor @ gram @ factor
        gathered = factor if gathered is None else gathered @ factor
    return _multiply(gathered.div_(norm), x) if gathered is not None else x.div_(norm)


def _norm(x: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=x.dim() > 2)
    return found + _EPSILON


def _is_tall(x: Tensor) -> bool:
    return x.size(-2) > x.size(-1)


def _gram(x: Tensor, out: Tensor | None = None) -> Tensor:
    """[..., s, s] of the small side."""
    return torch.matmul(*((x.mT, x) if _is_tall(x) else (x, x.mT)), out=out)


def _multiply(factor: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """The symmetric factor from the small side."""
    return torch.matmul(*((x, factor) if _is_tall(x) else (factor, x)), out=out)


def _add_to_diagonal(square: Tensor, value: float) -> Tensor:
    square.diagonal(dim1=-2, dim2=-1).add_(value)
    return square
