"""Tokens to equal loss: MuonClip, AdamW and torch.optim.Muon (arXiv:2502.16982, section 3.2).

First every optimizer's rate is tuned, then each runs at its best one with several seeds. MuonClip
also ends earlier, each time with a whole schedule, so that losses after equal schedules say how
many tokens it needs for the loss that a peer has at the end.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from workflows.ablations.clipping import final_loss
from workflows.ablations.configs import LearningAblation, TrainingArm
from workflows.ablations.kept import Result
from workflows.ablations.paired import mean_and_spread, mean_difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS = "MuonClip"
FORMS: dict[str, dict[str, object]] = {
    OURS: {},
    "AdamW": {"kind": "AdamW"},
    "torch.optim.Muon": {
        "kind": "Muon",
        "nesterov": True,
        "newton_schulz_precision": "bf16",
    },
}
"""What tells the optimizers apart; the last is the form that torch ships."""


class Tuning(NamedTuple):
    """A rate tried."""

    size: str
    optimizer: str
    rate: float


class Final(NamedTuple):
    """A model to compare: `share` of the tokens, one of several seeds."""

    size: str
    optimizer: str
    share: float
    seed: int


Rates = Mapping[tuple[str, str], float]
"""Best rate by size and optimizer."""


def tuning_arms(config: LearningAblation, size: str) -> dict[Tuning, TrainingArm]:
    """Every optimizer at every rate of its grid."""
    base = config.sizes[size]
    return {
        Tuning(size, optimizer, rate): _arm(base, optimizer, rate, config.tuning_frac, 0)
        for optimizer, rates in config.rates.items()
        for rate in rates
    }


def best_rates(results: Mapping[Tuning, Result]) -> Rates:
    """The rate with the smallest held-out loss; one whose loss was not finite never wins."""
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for tried, result in results.items():
        loss = math.inf if result["stopped"] is not None else final_loss(result)
        key = tried.size, tried.optimizer
        best[key] = min(best.get(key, (math.inf, tried.rate)), (loss, tried.rate))
    return {key: rate for key, (_, rate) in best.items()}


def final_arms(config: LearningAblation, size: str, rates: Rates) -> dict[Final, TrainingArm]:
    """All optimizers for all tokens, MuonClip also for each smaller budget."""
    base = config.sizes[size]
    return {
        Final(size, optimizer, share, seed): _arm(
            base, optimizer, rates[size, optimizer], share, seed
        )
        for optimizer in config.rates
        for share in (*(config.budgets if optimizer == OURS else ()), 1.0)
        for seed in range(config.seeds)
    }


def _arm(base: TrainingArm, optimizer: str, rate: float, share: float, seed: int) -> TrainingArm:
    optim = base.optim.model_copy(update={"lr": rate, **FORMS[optimizer]})
    steps = round(base.schedule.num_steps * share)
    schedule = base.schedule.model_copy(update={"num_steps": steps})
    update = {"optim": optim, "schedule": schedule, "seed": seed}
    return TrainingArm.model_validate(base.model_copy(update=update).model_dump())


def share_needed(curve: Sequence[tuple[float, float]], loss: float) -> float | None:
    """Share of the tokens after which a curve of (share, loss) reaches a loss.

    Straight in the logarithm of the tokens between two budgets; None if it is never reached.
    The smallest budget is the least that can be said.
    """
    curve = sorted(curve)
    if curve[0][1] <= loss:
        return curve[0][0]
    for (share, above), (next_share, below) in pairwise(curve):
        if below <= loss < above:
            part = (above - loss) / (above - below)
            return math.exp(math.log(share) + part * math.log(next_share / share))
    return None


def tabulate_tuning(results: Mapping[Tuning, Result]) -> str:
    """Markdown: held-out loss by rate."""
    lines = ["| model | optimizer | held-out loss by rate |", "|---|---|---|"]
    best = best_rates(results)
    for size, optimizer in best:
        cells = []
        for tried, result in results.items():
            if (tried.size, tried.optimizer) == (size, optimizer):
                loss = "not finite" if result["stopped"] else f"{final_loss(result):.3f}"
                mark = "**" if tried.rate == best[size, optimizer] else ""
                cells.append(f"{mark}{tried.rate:g}: {loss}{mark}")
        lines.append(f"| {size} | {optimizer} | {', '.join(cells)} |")
    return "\n".join(lines)


def tabulate_learning(config: LearningAblation, results: Mapping[Final, Result]) -> str:
    """Markdown: loss at equal tokens, and tokens at equal loss."""
    lines = [
        "| model | optimizer | held-out loss | MuonClip's against it "
        "| MuonClip needs of its tokens | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    for size in dict.fromkeys(final.size for final in results):
        ours = _losses(results, size, OURS)
        for optimizer in config.rates:
            rows = _rows(results, size, optimizer)
            losses = [final_loss(row) for row in rows]
            against = "" if optimizer == OURS else str(mean_difference(ours, losses))
            needed = "" if optimizer == OURS else _needed(config, results, size, losses)
            seconds = statistics.mean(row["seconds"] for row in rows)
            parameters = f"{rows[0]['parameters'] / 1e6:.2f} M"
            lines.append(
                f"| {size}, {parameters} | {optimizer} | {mean_and_spread(losses, 4)} | {against} "
                f"| {needed} | {seconds:.0f} |"
            )
    return "\n".join(lines)


def _needed(
    config: LearningAblation,
    results: Mapping[Final, Result],
    size: str,
    losses: Sequence[float],
) -> str:
    """MuonClip's share of the tokens for a peer's loss, seed by seed."""
    shares = []
    for seed, loss in enumerate(losses):
        curve = [
            (final.share, final_loss(result))
            for final, result in results.items()
            if (final.size, final.optimizer, final.seed) == (size, OURS, seed)
        ]
        if (share := share_needed(curve, loss)) is None:
            return "more than all"
        shares.append(100 * share)
    least = min(config.budgets)
    prefix = "at most " if any(share <= 100 * least for share in shares) else ""
    return f"{prefix}{mean_and_spread(shares, 0)} %"


def _rows(results: Mapping[Final, Result], size: str, optimizer: str) -> list[Result]:
    found = {f.seed: r for f, r in results.items() if f[:3] == (size, optimizer, 1.0)}
    return [found[seed] for seed in sorted(found)]


def _losses(results: Mapping[Final, Result], size: str, optimizer: str) -> list[float]:
    return [final_loss(row) for row in _rows(results, size, optimizer)]


def draw_learning(config: LearningAblation, results: Mapping[Final, Result]) -> "Figure":
    """Held-out loss over tokens, a line a seed; rings: MuonClip's other budgets."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    sizes = list(dict.fromkeys(final.size for final in results))
    panels = figure.subplots(1, len(sizes), squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        base = config.sizes[size]
        per_step = base.batch_size * base.sequence_length / 1e3
        for number, optimizer in enumerate(config.rates):
            for row in _rows(results, size, optimizer):
                steps, losses = zip(*row["heldout"], strict=True)
                label = optimizer if row is _rows(results, size, optimizer)[0] else None
                tokens = [step * per_step for step in steps]
                axes.plot(tokens, losses, f"C{number}.-", lw=0.9, ms=3, label=label)
        ends = [(f.share, final_loss(r)) for f, r in results.items() if f[:2] == (size, OURS)]
        rings = [(share * base.tokens / 1e3, loss) for share, loss in ends]
        axes.plot(*zip(*rings, strict=True), "C0o", mfc="none", label="MuonClip ended there")
        axes.set(xlabel="thousand tokens (bytes)", title=size)
        axes.legend(fontsize="small")
    panels[0].set_ylabel("held-out loss (nats a byte)")
    return figure
