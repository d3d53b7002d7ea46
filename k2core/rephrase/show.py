"""What the report shows of a rephrasing: reasons, and texts side by side."""

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure

from k2core.rephrase.outcome import Judged
from k2core.reporting import Reporter

_SHOWN = 8


def show_rewrites(judged: Sequence[Judged], report: Reporter) -> None:
    """Add the plot of the reasons and a table of accepted and of rejected rewrites."""
    report.plot("Rewrites by verdict", plot_reasons(judged))
    for title, wanted in (("Accepted rewrites", True), ("Rejected rewrites", False)):
        chosen = [entry for entry in judged if (not entry.reason) == wanted][:_SHOWN]
        rows = [
            {
                "style": entry.row["prompt_id"],
                "source": entry.source,
                "rewrite": entry.row["text"],
                "reason": entry.reason,
                "scores": entry.row["scores"],
            }
            for entry in chosen
        ]
        report.table(title, rows)


def plot_reasons(judged: Sequence[Judged]) -> Figure:
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
