"""What the report shows of a rephrasing: reasons, texts side by side, and how sure the gate is."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.figure import Figure

from k2core.rephrase.alignment import align
from k2core.rephrase.calibration import Roc, plot_rocs, read_scores, trace_rocs
from k2core.rephrase.outcome import JudgedRewrite
from k2core.reporting import Reporter
from schemas.rephrase import FidelityConfig

_SHOWN = 8
_MISMATCHED = 24
"""Sources held against another's rewrite; their sentences' vectors are there already."""


def show_rewrites(judged: Sequence[JudgedRewrite], report: Reporter) -> None:
    """Add the plot of the reasons, the yield, a table of accepted and one of rejected rewrites."""
    report.plot("Rewrites by verdict", plot_reasons(judged))
    report.table("Yield", list_yield(judged))
    for title, wanted in (("Accepted rewrites", True), ("Rejected rewrites", False)):
        chosen = [entry for entry in judged if (not entry.reason) == wanted][:_SHOWN]
        rows = [
            {
                "writer": entry.row["writer"],
                "style": entry.row["prompt_id"],
                "source": entry.source,
                "rewrite": entry.row["text"],
                "reason": entry.reason,
                "scores": entry.row["scores"],
            }
            for entry in chosen
        ]
        report.table(title, rows)


def list_yield(judged: Sequence[JudgedRewrite]) -> list[dict[str, object]]:
    """What each writer wrote in each style, and what of it passed; then of all that was asked."""
    written = Counter((entry.row["writer"], entry.row["prompt_id"]) for entry in judged)
    passed = Counter(
        (entry.row["writer"], entry.row["prompt_id"]) for entry in judged if not entry.reason
    )
    asked = sum(count for (writer, _), count in written.items() if writer == "model")
    rows = [_describe_yield(*key, passed[key], count) for key, count in sorted(written.items())]
    return [*rows, _describe_yield("all", "", passed.total(), asked)]


def _describe_yield(writer: str, style: str, passed: int, written: int) -> dict[str, object]:
    share = f"{passed / written:.0%}" if written else ""
    return {"writer": writer, "style": style, "written": written, "passed": passed, "share": share}


def plot_reasons(judged: Sequence[JudgedRewrite]) -> Figure:
    """Bars: how many were accepted, how many rejected for each reason."""
    counts = Counter(entry.reason or "accepted" for entry in judged).most_common()
    figure = Figure(figsize=(7, 0.5 + 0.35 * len(counts)), layout="constrained")
    axes = figure.add_subplot()
    names = [name for name, _ in counts]
    colours = ["tab:green" if name == "accepted" else "tab:red" for name in names]
    axes.barh(names, [count for _, count in counts], color=colours)
    axes.invert_yaxis()
    axes.set_xlabel("rewrites")
    return figure


def show_alignment(
    limits: FidelityConfig, judged: Sequence[JudgedRewrite], report: Reporter
) -> None:
    """Add the ROC of the gate's cosines on labelled pairs, with the limits that are set.

    Whether the limits hold for this corpus too is seen by what is certainly wrong in it: this
    run's sources beside rewrites of others.
    """
    rocs = trace_rocs(read_scores(), limits)
    report.plot("ROC of the alignment", plot_rocs(rocs))
    report.metrics(0, {f"auc_{roc.measure}": roc.area for roc in rocs})
    wrong = mismatch(judged)
    rows = [_describe(roc, [scores[roc.measure] for scores in wrong]) for roc in rocs]
    report.table("Limits of the alignment", rows)


def mismatch(judged: Sequence[JudgedRewrite]) -> list[dict[str, float]]:
    """Cosines of sources with the rewrite of the next other document."""
    pairs = [
        (first.source, second.row["text"])
        for first, second in pairwise(judged[: _MISMATCHED + 1])
        if first.source != second.source
    ]
    return [align(source, rewrite).cosines() for source, rewrite in pairs]


def _describe(roc: Roc, wrong: Sequence[float]) -> dict[str, object]:
    passed = sum(value >= roc.limit for value in wrong)
    return {
        "cosine": roc.measure,
        "at least": roc.limit,
        "area under the ROC": round(roc.area, 4),
        "faithful kept": f"{roc.kept:.1%} of {roc.num_faithful}",
        "errors passed": f"{roc.passed:.1%} of {roc.num_errors} ({roc.against})",
        "another's rewrite passed": f"{passed} of {len(wrong)} of this run",
    }
