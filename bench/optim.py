"""A MuonClip step, ours against torch.optim.Muon and AdamW: same parameters, fp32, 1 or 2 cores.

`torch.optim.Muon` orthogonalises in bf16, which a CPU without bf16 units emulates; the second peer
is the same optimizer with its Newton-Schulz in fp32, which is the comparison of equal arithmetic.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.optim._muon as torch_muon
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.table import median_seconds
from k2core.optim.muon import advance_momentum, update_scale
from k2core.optim.newton_schulz import orthogonalize, orthogonalize_each
from schemas.optim import OptimConfig

_CONFIG = OptimConfig(nesterov=True)
_LR = 1e-3
Shapes = list[tuple[int, int]]


class Size(NamedTuple):
    """A set of matrices."""

    name: str
    shapes: Shapes
    rounds: int = 5


def _layers(count: int, hidden: int, inner: int, experts: int) -> Shapes:
    """Attention projections of K2's proportions, and experts with gate, up and down apart."""
    attention = [(hidden // 2, hidden), (hidden, hidden // 2), (hidden // 2, hidden)]
    return (attention + [(inner, hidden), (inner, hidden), (hidden, inner)] * experts) * count


SIZES = (
    Size("tiny recipe, all matrices", []),
    Size("1:4 shapes, 48 of 128 x 512", [(128, 512)] * 48),
    Size("hidden 64: 2 layers, 8 experts", _layers(2, 64, 48, 8), 9),
    Size("hidden 512: 1 layer, 4 experts", _layers(1, 512, 384, 4), 3),
)


class Measured(NamedTuple):
    """Median seconds of a step, by contestant, and errors against float64."""

    size: str
    seconds: dict[str, float]
    our_error: float
    torch_error: float
    peak_share: float


def tiny_shapes() -> Shapes:
    """All matrices of the tiny recipe's model, as the trainer hands them to Newton-Schulz."""
    from k2core.engines.megatron.trainer import Trainer
    from workflows.recipes import tiny

    buckets = Trainer(tiny().model, OptimConfig(), seed=0).optimizer.buckets
    return [(m.rows, m.columns) for bucket in buckets for m in bucket.matrices]


def measure_sizes() -> list[Measured]:
    """Every size on the threads that are set."""
    peak = _peak()
    found = []
    for size in SIZES:
        shapes = size.shapes or tiny_shapes()
        generator = torch.Generator().manual_seed(0)
        grads = [torch.randn(shape, generator=generator) for shape in shapes]
        steps = {"ours": _ours(grads), "torch.optim.AdamW": _adamw(grads)}
        steps["torch.optim.Muon in fp32"] = _torch_in_fp32(grads)
        seconds = _in_turn(steps, size.rounds)
        started = time.perf_counter()  # once: where bf16 is emulated, a step takes seconds
        directions = _torch_directions(grads)
        seconds["torch.optim.Muon"] = time.perf_counter() - started
        torch_error, ours = _error(directions, grads), seconds["ours"]
        operations = sum(_operations(shape) for shape in shapes)
        our_error = _error(orthogonalize_each(grads), grads)
        found.append(Measured(size.name, seconds, our_error, torch_error, operations / ours / peak))
    return found


def _in_turn(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, round by round: what else the machine does hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):  # the first warms up
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seen[1:]) for name, seen in times.items()}


def _ours(grads: Sequence[Tensor]) -> Callable[[], None]:
    """What `MuonClipOptimizer` does: flat masters and momentum, then the matrices."""
    sizes = [grad.numel() for grad in grads]
    gradient = torch.cat([grad.flatten() for grad in grads])
    weights, momentum = torch.zeros_like(gradient), torch.zeros_like(gradient)

    def views(flat: Tensor) -> list[Tensor]:
        return [v.view_as(g) for v, g in zip(flat.split(sizes), grads, strict=True)]

    targets = views(weights)

    def step() -> None:
        fed = views(advance_momentum(gradient, momentum, _CONFIG))
        weights.mul_(1 - _LR * _CONFIG.weight_decay)
        for target, direction in zip(targets, orthogonalize_each(fed), strict=True):
            rows, columns = direction.shape
            target.add_(direction, alpha=-_LR * update_scale(rows, columns, _CONFIG))

    return step


def _parameters(grads: Sequence[Tensor]) -> list[Tensor]:
    weights = [torch.zeros_like(grad, requires_grad=True) for grad in grads]
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = grad
    return weights


def _adamw(grads: Sequence[Tensor]) -> Callable[[], None]:
    return torch.optim.AdamW(_parameters(grads), lr=_LR, betas=(0.9, 0.95)).step


def _muon(weights: Sequence[Tensor]) -> torch.optim.Muon:
    return torch.optim.Muon(weights, lr=_LR, momentum=0.95, adjust_lr_fn="match_rms_adamw")


def _torch_in_fp32(grads: Sequence[Tensor]) -> Callable[[], None]:
    muon = _muon(_parameters(grads))

    def step() -> None:
        with _in_fp32():
            muon.step()

    return step


def _torch_directions(grads: Sequence[Tensor]) -> list[Tensor]:
    """What a first step of torch's optimizer subtracts, its scale taken out."""
    weights = _parameters(grads)
    _muon(weights).step()
    return [w.detach() / (-_LR * 0.2 * math.sqrt(max(w.shape))) for w in weights]


@contextmanager
def _in_fp32() -> Iterator[None]:
    """torch.optim.Muon with an fp32 Newton-Schulz, line for line its own otherwise."""
    upstream = torch_muon._zeropower_via_newtonschulz

    def newton_schulz(
        grad: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
    ) -> Tensor:
        a, b, c = coefficients
        x = grad.T.clone() if grad.size(0) > grad.size(1) else grad.clone()
        x.div_(x.norm().clamp(min=eps))
        for _ in range(steps):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.T if grad.size(0) > grad.size(1) else x

    torch_muon._zeropower_via_newtonschulz = newton_schulz  # type: ignore[assignment]
    try:
        yield
    finally:
        torch_muon._zeropower_via_newtonschulz = upstream


def _error(found: Sequence[Tensor], grads: Sequence[Tensor]) -> float:
    """Relative distance from the same polynomial in float64."""
    pairs = [(x.double(), orthogonalize(g.double())) for x, g in zip(found, grads, strict=True)]
    wrong = sum(float((x - exact).square().sum()) for x, exact in pairs)
    return math.sqrt(wrong / sum(float(exact.square().sum()) for _, exact in pairs))


def _operations(shape: tuple[int, int]) -> float:
    """Of equation 2 as it stands, five steps: what the plain form would spend."""
    small, large = sorted(shape)
    return 5.0 * (4 * small * small * large + 2 * small**3)


def _peak() -> float:
    """Operations a second of a large fp32 product on these threads."""
    x = torch.randn(1536, 1536)
    return 2 * 1536**3 / median_seconds(lambda: x @ x, 5)


def main() -> None:
    """Print the table on one core, or on as many as `--cores` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=1)
    cores = parser.parse_known_args()[0].cores
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)
    rows = measure_sizes()
    peers = ("torch.optim.Muon", "torch.optim.Muon in fp32", "torch.optim.AdamW")
    table = Table("matrices", "ours", *peers, "error, ours / torch", "of fp32 peak", title=__doc__)
    for row in rows:
        ours = row.seconds["ours"]
        against = [f"{row.seconds[p] * 1e3:.1f} ms, {row.seconds[p] / ours:.2f}x" for p in peers]
        errors = f"{row.our_error:.0e} / {row.torch_error:.0e}"
        share = f"{row.peak_share:.0%}"
        table.add_row(row.size, f"{ours * 1e3:.1f} ms", *against, errors, share)
    Console(width=160).print(table)
    for peer in peers[:2]:
        worst = min(row.seconds[peer] / row.seconds["ours"] for row in rows)
        print(f"optim cores={cores} against {peer}: worst {worst:.2f}x")
    first = rows[0].seconds
    print(f"optim ratio={first['torch.optim.Muon'] / first['ours']:.2f}")


if __name__ == "__main__":
    main()
