"""Figures of a training run."""

import math
from typing import TYPE_CHECKING

from k2core.optim.rule import HeadClip
from k2core.training.clips import clipped_shares
from k2core.training.history import StepLog

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_loss(history: StepLog) -> "Figure":
    """The loss over steps, and its running mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    steps = range(1, history.num_steps + 1)
    mean, means = next(filter(math.isfinite, history.losses), 0.0), []
    for loss in history.losses:
        if math.isfinite(loss):  # what a refused step measured may not be
            mean += 0.1 * (loss - mean)
        means.append(mean)
    axes.plot(steps, history.losses, lw=0.7, alpha=0.5, label="loss of the batch")
    axes.plot(steps, means, lw=1.6, label="running mean")
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.legend()
    return figure


def draw_max_logits(history: StepLog, clip: HeadClip | None) -> "Figure":
    """The largest attention logit of each layer over steps, and QK-Clip's threshold, if any."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    steps = range(1, history.num_steps + 1)
    for layer, logits in enumerate(zip(*history.max_logits, strict=True)):
        axes.plot(steps, logits, lw=1.0, label=f"layer {layer}")
    if clip is not None:
        axes.axhline(clip.tau, color="black", ls="--", lw=0.8, label=f"tau = {clip.tau:g}")
    axes.set(xlabel="step", ylabel="largest attention logit", yscale="symlog")
    axes.legend(ncols=2, fontsize="small")
    return figure


def draw_clipped_shares(history: StepLog, num_heads: int) -> "Figure":
    """The share of heads that QK-Clip rescaled at each step, and at least once so far."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    steps, shares = range(1, history.num_steps + 1), clipped_shares(history, num_heads)
    axes.plot(steps, [100 * share for share in shares.now], lw=0.9, label="at this step")
    axes.plot(steps, [100 * share for share in shares.ever], lw=1.6, label="at least once so far")
    axes.set(xlabel="step", ylabel="heads rescaled (%)", ylim=(-2, 102))
    axes.legend()
    return figure
