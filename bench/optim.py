"""A MuonClip step, ours against torch.optim.Muon and AdamW: same parameters, 1 or 2 cores.

Each arithmetic for itself: bf16, in which `torch.optim.Muon` orthogonalises, and fp32, for which
its Newton-Schulz is swapped for one in fp32. Weights and momentum are fp32 for all.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
import torch.optim._muon as torch_muon
from rich.console import Console
from rich.table import Table
from torch import Tensor

from k2core.optim.muon import advance_momentum, update_scale
from k2core.optim.newton_schulz import orthogonalize, orthogonalize_each
from schemas.optim import OptimConfig

_CONFIG = OptimConfig(nesterov=True)
_LR = 1e-3
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
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
    Size("hidden 512: 1 layer, 4 experts", _layers(1, 512, 384, 4), 9),
)


class Measured(NamedTuple):
    """Seconds of a step by contestant, and in both arithmetics errors and shares of the peak."""

    size: str
    seconds: dict[str, float]
    our_error: dict[str, float]
    """Against float64."""
    torch_error: float
    """In bf16."""
    peak_share: dict[str, float]


def tiny_shapes() -> Shapes:
    """All matrices of the tiny recipe's model, as the trainer hands them to Newton-Schulz."""
    from k2core.engines.megatron.trainer import Trainer
    from workflows.recipes import tiny

    buckets = Trainer(tiny().model, OptimConfig(), seed=0).optimizer.buckets
    return [(m.rows, m.columns) for bucket in buckets for m in bucket.matrices]


def measure_sizes() -> list[Measured]:
    """Every size on the threads that are set."""
    peaks = {name: _peak(dtype) for name, dtype in _DTYPES.items()}
    return [_measure(size, peaks) for size in SIZES]


def _measure(size: Size, peaks: Mapping[str, float]) -> Measured:
    shapes = size.shapes or tiny_shapes()
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(shape, generator=generator) for shape in shapes]
    steps = {
        "ours bf16": _ours(grads, torch.bfloat16),
        "torch.optim.Muon bf16": _muon(_parameters(grads)).step,
        "ours fp32": _ours(grads, torch.float32),
        "torch.optim.Muon fp32": _torch_in_fp32(grads),
        "torch.optim.AdamW": _adamw(grads),
    }
    seconds = _in_turn(steps, size.rounds)
    operations = sum(_operations(shape) for shape in shapes)
    return Measured(
        size.name,
        seconds,
        {n: _error(_directions(grads, d), grads) for n, d in _DTYPES.items()},
        _error(_torch_directions(grads), grads),
        {name: operations / seconds[f"ours {name}"] / peak for name, peak in peaks.items()},
    )


def _in_turn(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, round by round: what else the machine does hits all alike.

    A contestant that needs seconds (bf16 where it is emulated) has one round.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):  # the first warms up
        for name, step in steps.items():
            if number < 2 or times[name][0] < 1:
                started = _clock()
                step()
                times[name].append(_clock() - started)
    return {name: statistics.median(seen[1:]) for name, seen in times.items()}


def _clock() -> float:
    """Of this process alone on one core; of the wall where threads share the work."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def _ours(grads: Sequence[Tensor], dtype: torch.dtype) -> Callable[[], None]:
    """What `ShardedOptimizer` and MuonClip do: flat buffers, momentum, decay, matrices."""
    sizes = [grad.numel() for grad in grads]
    gradient = torch.cat([grad.flatten() for grad in grads])
    weights, momentum = torch.zeros_like(gradient), torch.zeros_like(gradient)

    def views(flat: Tensor) -> list[Tensor]:
        return [v.view_as(g) for v, g in zip(flat.split(sizes), grads, strict=True)]

    targets, states = views(weights), list(zip(views(gradient), views(momentum), strict=True))

    def step() -> None:
        fed = [advance_momentum(grad, moment, _CONFIG) for grad, moment in states]
        for places, stack in orthogonalize_each(fed, dtype=dtype):
            scale = update_scale(stack.size(-2), stack.size(-1), _CONFIG)
            for place, direction in zip(places, stack, strict=True):
                targets[place].mul_(1 - _LR * _CONFIG.weight_decay)
                targets[place].add_(direction, alpha=-_LR * scale)

    return step


def _directions(grads: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    found = list(grads)
    for places, stack in orthogonalize_each(grads, dtype=dtype):
        for place, direction in zip(places, stack, strict=True):
            found[place] = direction
    return found


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


def _peak(dtype: torch.dtype) -> float:
    """Operations a second of a product on these threads, at the side that suits them best."""
    found = []
    for side in (256, 512, 1024, 2048):
        x, out = torch.randn(2, side, side).to(dtype)
        seconds = _in_turn({"product": partial(torch.mm, x, x, out=out)}, 5)["product"]
        found.append(2 * side**3 / seconds)
    return max(found)


def main() -> None:
    """Print the table on one core, or on as many as `--cores` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=1)
    cores = parser.parse_known_args()[0].cores
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)
    rows = measure_sizes()
    columns = (
        "matrices",
        "",
        "ours",
        "of peak",
        "torch.optim.Muon",
        "AdamW",
        "errors, ours / torch",
    )
    table = Table(*columns, title=__doc__)
    for row in rows:
        for name in _DTYPES:
            ours, theirs = (row.seconds[f"{who} {name}"] for who in ("ours", "torch.optim.Muon"))
            adamw = row.seconds["torch.optim.AdamW"]
            torch_error = f"{row.torch_error:.0e}" if name == "bf16" else "-"
            table.add_row(
                row.size,
                name,
                f"{ours * 1e3:.1f} ms",
                f"{row.peak_share[name]:.0%}",
                f"{theirs * 1e3:.1f} ms, {theirs / ours:.2f}x",
                f"{adamw * 1e3:.1f} ms, {adamw / ours:.2f}x",
                f"{row.our_error[name]:.0e} / {torch_error}",
            )
    Console(width=160).print(table)
    for name in _DTYPES:
        found = [_ratio(row, name) for row in rows]
        print(f"optim cores={cores} {name}: tiny {found[0]:.2f}x, worst {min(found):.2f}x")
    print(f"optim ratio={_ratio(rows[0], 'bf16'):.2f}")


def _ratio(row: Measured, name: str) -> float:
    """How much longer torch.optim.Muon takes in the same arithmetic."""
    return row.seconds[f"torch.optim.Muon {name}"] / row.seconds[f"ours {name}"]


if __name__ == "__main__":
    main()
