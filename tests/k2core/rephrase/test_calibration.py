"""The ROC in the stage's report: computed from labelled pairs, the limits that are set on it."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.paraphrases import make_pairs
from k2core.rephrase.alignment import align
from k2core.rephrase.calibration import (
    CALIBRATED,
    FAITHFUL,
    SCORES,
    area_under_roc,
    read_scores,
    trace_roc,
    trace_rocs,
)
from k2core.rephrase.outcome import JudgedRewrite
from k2core.rephrase.show import show_alignment
from k2core.reporting import Silent
from schemas.corpus import RewriteRow
from schemas.rephrase import FidelityConfig
from tests.k2core.rephrase.lighthouses import faithful, original


def test_a_curve_by_hand() -> None:
    good, bad = [0.9, 0.8, 0.7, 0.6], [0.75, 0.5]
    roc = trace_roc("aligned", "omission", good, bad, limit=0.7)
    assert roc.kept_curve == [0, 0.25, 0.5, 0.5, 0.75, 1, 1]
    assert roc.passed_curve == [0, 0, 0, 0.5, 0.5, 0.5, 1]
    assert (roc.kept, roc.passed) == (0.75, 0.5)
    assert roc.area == 6 / 8  # of eight pairs, two are in the wrong order
    assert area_under_roc([1, 1], [1, 1]) == 0.5


def test_the_area_is_that_under_the_curve() -> None:
    for roc in trace_rocs(read_scores(), FidelityConfig()):
        assert roc.area == pytest.approx(np.trapezoid(roc.kept_curve, roc.passed_curve))
        assert (roc.passed, roc.kept) in set(zip(roc.passed_curve, roc.kept_curve, strict=True))


def test_limits_that_are_set_keep_the_faithful_and_hold_errors_back() -> None:
    for roc in trace_rocs(read_scores(), FidelityConfig()):
        assert min(roc.num_faithful, roc.num_errors) >= 40
        assert roc.area > 0.9
        assert roc.kept > 0.9
        assert roc.passed < 0.35
    (strict, *_) = trace_rocs(read_scores(), FidelityConfig(min_aligned=1.0))
    assert (strict.kept, strict.passed) == (0, 0)


def test_the_scores_on_file_are_those_of_the_pairs() -> None:
    """A changed embedding, alignment or paraphrase is seen here: make the file anew, as it says."""
    about = json.loads(SCORES.read_text())
    words = about["made_by"].split()
    extracts, seed = (int(words[words.index(name) + 1]) for name in ("--extracts", "--seed"))
    first: dict[str, dict[str, float]] = {}
    for pair in make_pairs(extracts, random.Random(seed)):
        if pair.kind not in first and pair.kind in (FAITHFUL, *CALIBRATED.values()):
            first[pair.kind] = align(pair.source, pair.rewrite).cosines()
    assert first.keys() == about["pairs"].keys()
    for kind, cosines in first.items():
        assert about["pairs"][kind][0] == pytest.approx(cosines, abs=1e-3)


class Shown(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.plots: dict[str, Figure] = {}
        self.values: dict[str, float] = {}
        self.rows: list[Mapping[str, object]] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.values |= values

    def plot(self, title: str, figure: Figure) -> None:
        self.plots[title] = figure

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        self.rows += rows


def test_the_report_has_the_curves_their_areas_and_this_runs_own_mistakes() -> None:
    shown = Shown()
    judged = [
        JudgedRewrite(cast(RewriteRow, {"text": faithful(n)}), original(n), "") for n in range(3)
    ]
    limits = FidelityConfig(min_grounded=-1)
    show_alignment(limits, judged, shown)
    (axes,) = shown.plots["ROC of the alignment"].axes
    labels = axes.get_legend_handles_labels()[1]
    rocs = trace_rocs(read_scores(), limits)
    for roc in rocs:
        assert f"{roc.measure} against {roc.against} (area {roc.area:.3f})" in labels
        assert f"limit {roc.limit:g}" in labels
        assert shown.values[f"auc_{roc.measure}"] == roc.area
    wrong = {row["cosine"]: row["another's rewrite passed"] for row in shown.rows}
    assert wrong["grounded"] == "2 of 2 of this run"
    show_alignment(limits, [], shown)  # a run that wrote nothing has a report too
