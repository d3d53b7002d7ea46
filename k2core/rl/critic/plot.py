"""The critic's curve: how often it prefers what the verifiers do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = {
    "agreement": "refreshed",
    "frozen_agreement": "as the stage began",
    "order_bias": "orders disagree",
}


def draw_agreement(iterations: Sequence[Mapping[str, float]]) -> "Figure":
    """Agreement with the verifiers over iterations, of the critic and of the frozen one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in _CURVES.items():
        points = [(step, i[name]) for step, i in enumerate(iterations, start=1) if name in i]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    axes.axhline(0.5, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="iteration", ylabel="share of pairs", ylim=(0, 1))
    if axes.lines[:-1]:
        axes.legend(fontsize="small")
    return figure
