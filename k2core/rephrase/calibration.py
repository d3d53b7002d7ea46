"""How well the gate's cosines tell faithful rewrites from faulty ones, and where its limits lie.

The scores are those of labelled pairs on which no limit was chosen: paraphrases by rule, and the
same with an error planted. `calibration.json` says which command made them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from k2core.rephrase.fidelity import list_bounds
from schemas.rephrase import FidelityConfig

SCORES = Path(__file__).with_name("calibration.json")
FAITHFUL = "faithful"
CALIBRATED = {"aligned": "other article", "covered": "omission", "grounded": "invention"}
"""Each cosine, and the kind of error that it is there for."""

Scores = Mapping[str, Sequence[Mapping[str, float]]]
"""Kind -> each pair's cosines."""


class Roc(NamedTuple):
    """What a measure lets pass at each limit, and at the one that is set."""

    measure: str
    against: str
    """The kind of error."""
    kept_curve: list[float]
    """Share of the faithful pairs at or above each limit, which falls from none to all."""
    passed_curve: list[float]
    """Share of the errors at or above it."""
    area: float
    limit: float
    kept: float
    """At the limit that is set."""
    passed: float
    num_faithful: int
    num_errors: int


def read_scores(path: Path = SCORES) -> Scores:
    """Cosines of the labelled pairs."""
    pairs: Scores = json.loads(path.read_text(encoding="utf-8"))["pairs"]
    return pairs


def trace_rocs(scores: Scores, limits: FidelityConfig) -> list[Roc]:
    """A curve for each of the gate's cosines."""
    held = {bound.measure: bound.limit for bound in list_bounds(limits, translated=False)}
    return [
        trace_roc(
            measure,
            kind,
            [pair[measure] for pair in scores[FAITHFUL]],
            [pair[measure] for pair in scores[kind]],
            held[measure],
        )
        for measure, kind in CALIBRATED.items()
    ]


def trace_roc(
    measure: str, against: str, good: Sequence[float], bad: Sequence[float], limit: float
) -> Roc:
    """The curve of one measure.

    Args:
        measure: its name.
        against: name of the errors.
        good: the faithful pairs' values.
        bad: the errors'.
        limit: the one that is set.
    """
    cuts = [np.inf, *sorted({*good, *bad}, reverse=True)]
    kept = [_share_above(good, cut) for cut in cuts]
    passed = [_share_above(bad, cut) for cut in cuts]
    area = area_under_roc(good, bad)
    at_limit = _share_above(good, limit), _share_above(bad, limit)
    return Roc(measure, against, kept, passed, area, limit, *at_limit, len(good), len(bad))


def area_under_roc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Chance that a faithful pair scores above an unfaithful one; ties count half."""
    g, b = np.asarray(good)[:, None], np.asarray(bad)[None]
    return float((g > b).mean() + 0.5 * (g == b).mean())


def plot_rocs(rocs: Sequence[Roc]) -> Figure:
    """Curves with the limits that are set."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for roc in rocs:
        about = f"{roc.measure} against {roc.against} (area {roc.area:.3f})"
        (line,) = axes.plot(roc.passed_curve, roc.kept_curve, label=about)
        axes.plot(
            [roc.passed], [roc.kept], "o", color=line.get_color(), label=f"limit {roc.limit:g}"
        )
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set_xlabel("errors passed")
    axes.set_ylabel("faithful kept")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def _share_above(values: Sequence[float], cut: float) -> float:
    return float(np.mean(np.asarray(values) >= cut))
