"""QK-Clip switched on, off, low and crude: its experiments (arXiv:2507.20534, 2.1, appendix D)."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workflows.ablations.configs import (
    NEVER,
    HarmlessnessAblation,
    HeadsAblation,
    StabilityAblation,
    TrainingArm,
)
from workflows.ablations.kept import Result
from workflows.ablations.paired import mean_and_spread, mean_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arms = Mapping[str, Sequence[TrainingArm]]
"""By name, an arm a seed."""
Results = Mapping[str, Sequence[Result]]
PLAIN = "plain Muon"


def _seeded(
    base: TrainingArm, seeds: int, tau: float, *, per_head: bool = True
) -> list[TrainingArm]:
    change = {"qk_clip_tau": tau, "qk_clip_per_head": per_head}
    optim = base.optim.model_copy(update=change)
    return [base.model_copy(update={"optim": optim, "seed": seed}) for seed in range(seeds)]


def stability_arms(config: StabilityAblation) -> Arms:
    """With everything equal but the clip."""
    return {
        PLAIN: _seeded(config.base, config.seeds, NEVER),
        "MuonClip": _seeded(config.base, config.seeds, config.tau),
    }


def harmlessness_arms(config: HarmlessnessAblation) -> Arms:
    """No clip, then each threshold."""
    arms = {PLAIN: _seeded(config.base, config.seeds, NEVER)}
    return arms | {f"tau {t:g}": _seeded(config.base, config.seeds, t) for t in config.taus}


def heads_arms(config: HeadsAblation) -> Arms:
    """No clip, then at each threshold the report's form and the naive form."""
    arms = {PLAIN: _seeded(config.base, config.seeds, NEVER)}
    for tau in config.taus:
        arms[f"tau {tau:g}, per head"] = _seeded(config.base, config.seeds, tau)
        whole = _seeded(config.base, config.seeds, tau, per_head=False)
        arms[f"tau {tau:g}, whole layer"] = whole
    return arms


def final_loss(result: Result) -> float:
    """Held-out, at the end.

    Raises:
        ValueError: the arm did not get there.
    """
    if result["stopped"] is not None:
        raise ValueError(f"the loss was not finite at step {result['stopped']}")
    return float(result["heldout"][-1][1])


def largest_logits(result: Result) -> list[float]:
    """Over the layers, a step."""
    return [max(layers) for layers in result["max_logits"]]


def tabulate_stability(config: StabilityAblation, results: Results) -> str:
    """Markdown: how far the logits went, and the loss, a row a seed."""
    lines = [
        "| arm | seed | largest logit | of tau | 95 % of steps below | steps over 1.5 tau "
        "| heads rescaled | held-out loss, best | at the end |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    total = config.base.shape.num_layers * config.base.shape.num_heads
    for name, rows in results.items():
        for seed, result in enumerate(rows):
            seen = largest_logits(result)
            over = sum(logit > 1.5 * config.tau for logit in seen)
            most = sorted(seen)[round(0.95 * (len(seen) - 1))] / config.tau
            touched = len({head for step in result["clipped"] for head in step})
            stopped, heldout = result["stopped"], [loss for _, loss in result["heldout"]]
            end = f"not finite at step {stopped}" if stopped else f"{heldout[-1]:.3f}"
            best = f"{min(heldout):.3f}" if heldout else "none"
            lines.append(
                f"| {name} | {seed} | {max(seen):,.0f} | {max(seen) / config.tau:.2f} "
                f"| {most:.2f} tau | {over} of {len(seen)} | {touched} of {total} "
                f"| {best} | {end} |"
            )
    lines += ["", _compare_ends(results)]
    return "\n".join(lines)


def _compare_ends(results: Results) -> str:
    """A sentence: the last arm's loss against the first's."""
    (first, *_, last) = results
    if any(result["stopped"] is not None for rows in results.values() for result in rows):
        return f"No difference of {last} and {first}: not every arm came to its end."
    ends = [[final_loss(result) for result in results[name]] for name in (last, first)]
    if len(ends[0]) < 2:
        return f"{last} against {first}: one seed, no interval."
    return f"{last} against {first}, held-out loss at the end: {mean_difference(*ends)}."


def tabulate_losses(results: Results, num_heads: int) -> str:
    """Markdown: loss against no clip, seed by seed, and what the clip touched.

    Args:
        results: by arm; the first is what the others are compared with.
        num_heads: of all layers together.
    """
    lines = [
        "| arm | largest logit | rescalings a step | heads touched | held-out loss "
        f"| against {next(iter(results))} |",
        "|---|---|---|---|---|---|",
    ]
    reference = [final_loss(result) for result in next(iter(results.values()))]
    for number, (name, rows) in enumerate(results.items()):
        losses = [final_loss(result) for result in rows]
        largest = statistics.mean(max(largest_logits(result)) for result in rows)
        against = str(mean_difference(losses, reference)) if number else ""
        rescaled = statistics.mean(len(step) for result in rows for step in result["clipped"])
        touched = statistics.mean(
            len({head for step in result["clipped"] for head in step}) for result in rows
        )
        lines.append(
            f"| {name} | {largest:.1f} | {rescaled:.2f} | {touched:.1f} of {num_heads} "
            f"| {mean_and_spread(losses, 4)} | {against} |"
        )
    return "\n".join(lines)


def draw_stability(config: StabilityAblation, results: Results) -> "Figure":
    """The largest logit of each layer, and the loss, over steps; a line a seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    logits, loss = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(results.items()):
        for seed, result in enumerate(rows):
            for layer, seen in enumerate(zip(*result["max_logits"], strict=True)):
                _line(logits, seen, number, "" if seed else f"{name}, layer {layer}", layer)
            _line(loss, _smooth(result["losses"]), number, "" if seed else name)
    logits.axhline(config.tau, color="black", ls=":", lw=0.9, label=f"tau = {config.tau:g}")
    logits.set(xlabel="step", ylabel="largest attention logit", yscale="symlog")
    logits.set_ylim(bottom=0)
    loss.set(xlabel="step", ylabel="loss (nats a byte, running mean)")
    later = [x for rows in results.values() for r in rows for x in _after_the_fall(r)]
    loss.set_ylim(min(later) - 0.02, max(later) + 0.02)
    logits.legend(fontsize="small")
    loss.legend(fontsize="small")
    return figure


def draw_losses(results: Results) -> "Figure":
    """The largest logit over steps (mean of the seeds), and each seed's loss against no clip."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    logits, loss = figure.subplots(1, 2)
    reference = [final_loss(result) for result in next(iter(results.values()))]
    for number, (name, rows) in enumerate(results.items()):
        means = [statistics.mean(step) for step in zip(*map(largest_logits, rows), strict=True)]
        _line(logits, means, number, name)
        if number:
            apart = [final_loss(r) - base for r, base in zip(rows, reference, strict=True)]
            whole = mean_difference([final_loss(r) for r in rows], reference)
            loss.plot([number] * len(apart), apart, f"C{number}.", alpha=0.6)
            loss.errorbar(number, whole.mean, whole.half_width, fmt="k_", capsize=6)
    names = list(results)
    loss.axhline(0, color="grey", ls=":")
    loss.set_xticks(range(1, len(names)), [name.replace(", ", "\n") for name in names[1:]])
    loss.set_xlim(0.5, len(names) - 0.5)
    loss.set_ylabel(f"held-out loss against {names[0]} (nats a byte)")
    logits.set(xlabel="step", ylabel="largest attention logit", yscale="symlog")
    logits.set_ylim(bottom=0)
    logits.legend(fontsize="small")
    return figure


def _line(axes: "Axes", values: Sequence[float], color: int, label: str, dash: int = 0) -> None:
    steps = range(1, len(values) + 1)
    style = ("-", "--", "-.", ":")[dash % 4]
    axes.plot(steps, values, color=f"C{color}", ls=style, lw=0.9, alpha=0.8, label=label or None)


def _after_the_fall(result: Result) -> list[float]:
    """Running mean of the loss after a third of the steps: the fall before would hide the rest."""
    return _smooth(result["losses"])[len(result["losses"]) // 3 :]


def _smooth(losses: Sequence[float]) -> list[float]:
    mean, means = losses[0], []
    for loss in losses:
        mean += 0.1 * (loss - mean)
        means.append(mean)
    return means
