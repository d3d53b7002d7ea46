import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from k2core.optim.muon import adamw_direction, advance_momentum, update_scale
from k2core.optim.newton_schulz import orthogonalize, orthogonalize_each
from schemas.optim import OptimConfig

Matrix = NDArray[np.float64]


def naive_newton_schulz(matrix: Matrix, steps: int) -> Matrix:
    """arXiv:2502.16982, equation 2, written down once more, one matrix, float64."""
    x: Matrix = matrix / (np.sqrt((matrix**2).sum()) + 1e-7)
    if x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


def in_order(matrices: list[Tensor], dtype: torch.dtype | None = None) -> list[Tensor]:
    """All results of `orthogonalize_each`, checked to come once each."""
    before = [matrix.clone() for matrix in matrices]
    found: dict[int, Tensor] = {}
    for places, stack in orthogonalize_each(matrices, dtype=dtype):
        assert not found.keys() & set(places)
        found.update(zip(places, stack, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(matrices, before, strict=True))
    return [found[index] for index in range(len(matrices))]


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16), (16, 20), (1, 5)])
def test_newton_schulz_equals_the_naive_one(shape: tuple[int, int]) -> None:
    matrices = np.random.default_rng(0).standard_normal((3, *shape))
    found = orthogonalize(torch.from_numpy(matrices), 5).numpy()
    for ours, matrix in zip(found, matrices, strict=True):
        np.testing.assert_allclose(ours, naive_newton_schulz(matrix, 5), atol=1e-10)


def test_shapes_of_all_kinds_in_one_call() -> None:
    """Stacked, looped, wide and tall matrices come back in their places."""
    rng = np.random.default_rng(1)
    shapes = [(8, 24), (120, 130), (24, 8), (8, 24), (16, 16), (120, 130), (8, 8), (100, 300)]
    matrices = [rng.standard_normal(shape) for shape in shapes]
    found = in_order([torch.from_numpy(matrix) for matrix in matrices])
    for ours, matrix in zip(found, matrices, strict=True):
        np.testing.assert_allclose(ours.numpy(), naive_newton_schulz(matrix, 5), atol=1e-9)


@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (64, 256)])
def test_fp32_is_close_to_float64_for_ill_conditioned_matrices(shape: tuple[int, int]) -> None:
    """Momentum is nearly of low rank: singular values over four orders of magnitude."""
    generator = torch.Generator().manual_seed(9)
    u = torch.linalg.qr(torch.randn(64, 64, generator=generator, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(shape[1], 64, generator=generator, dtype=torch.float64))[0]
    matrix = u * torch.logspace(0, -4, 64, dtype=torch.float64) @ v.T
    found, exact = orthogonalize(matrix.float()).double(), orthogonalize(matrix)
    assert (found - exact).norm() < 1e-2 * exact.norm()


@pytest.mark.parametrize("decades", [0, 4])
def test_bf16_is_as_exact_as_torchs(decades: int) -> None:
    """Stacked or alone, oblong or not; the Gram form in bf16 would be wrong by a factor."""
    from torch.optim._muon import _zeropower_via_newtonschulz

    generator = torch.Generator().manual_seed(3)
    matrices = []
    for rows, columns in [(64, 96), (96, 64), (64, 96), (48, 192), (48, 192), (120, 300)]:
        drawn = torch.randn(rows, columns, generator=generator)
        u, values, vh = torch.linalg.svd(drawn, full_matrices=False)
        matrices.append(u * values * torch.logspace(0, -decades, len(values)) @ vh)
    ours = in_order(matrices, torch.bfloat16)
    for found, matrix in zip(ours, matrices, strict=True):
        assert found.dtype == torch.bfloat16
        theirs = _zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)
        exact = orthogonalize(matrix.double())
        errors = [float((x.double() - exact).norm() / exact.norm()) for x in (found, theirs)]
        assert errors[0] < 1.1 * errors[1]


def test_singular_values_land_near_one_and_vectors_stay() -> None:
    matrix = torch.randn(40, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    values = u.T @ orthogonalize(matrix) @ vh.T
    assert (values - values.diagonal().diag()).abs().max() < 1e-8
    assert values.diagonal().min() > 0.5
    assert values.diagonal().max() < 1.5


def test_scale_of_the_gradient_does_not_matter() -> None:
    matrix = torch.randn(6, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert (orthogonalize(matrix * 1e3) - orthogonalize(matrix)).abs().max() < 1e-6


@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_equals_a_naive_float64_run(nesterov: bool) -> None:
    config = OptimConfig(nesterov=nesterov, weight_decay=0.1)
    rng = np.random.default_rng(3)
    weight, lr = rng.standard_normal((12, 20)), 0.02
    ours, momentum = torch.from_numpy(weight.copy()), torch.zeros(12, 20, dtype=torch.float64)
    m = np.zeros_like(weight)
    for _ in range(5):
        grad = rng.standard_normal((12, 20))
        m = 0.95 * m + grad
        o = naive_newton_schulz(grad + 0.95 * m if nesterov else m, 5) * 0.2 * math.sqrt(20)
        weight = weight - lr * (o + 0.1 * weight)
        fed = advance_momentum(torch.from_numpy(grad), momentum, config)
        direction = orthogonalize(fed) * update_scale(12, 20, config)
        ours.mul_(1 - lr * 0.1).add_(direction, alpha=-lr)
    np.testing.assert_allclose(ours.numpy(), weight, rtol=1e-9, atol=1e-12)


def test_update_rms_is_matched() -> None:
    grad = torch.randn(64, 256, generator=torch.Generator().manual_seed(4))
    direction = orthogonalize(grad) * update_scale(64, 256, OptimConfig(update_rms=0.2))
    # Singular values uniform(0.5, 1.5)-ish: RMS = 0.2 * sqrt(mean s^2), within a fifth of 0.2.
    assert direction.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_adamw_equals_torch() -> None:
    config = OptimConfig(weight_decay=0.1)
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    theirs = torch.nn.Parameter(start.clone())
    torch_adam = torch.optim.AdamW([theirs], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    ours, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, 6):
        grad = torch.randn(7, 3, generator=generator, dtype=torch.float64)
        theirs.grad = grad.clone()
        torch_adam.step()
        direction = adamw_direction(grad, mean, square, step, config)
        ours.mul_(1 - 1e-2 * 0.1).add_(direction, alpha=-1e-2)
    torch.testing.assert_close(ours, theirs.data, rtol=1e-10, atol=1e-12)
