"""What the report shows of the scores."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.benchmarks import Benchmarks
from schemas.evaluate import CHECKPOINTS, Overlaps, Perplexity, Rate, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_rates(title: str, rates: Mapping[str, Mapping[str, Rate]]) -> "Figure":
    """Bars of pass rates with their 95 % intervals, the checkpoints side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.0, 0.75 * len(rates)), 3.8), layout="constrained")
    axes = figure.subplots()
    for offset, checkpoint in enumerate(CHECKPOINTS):
        found = [by_checkpoint[checkpoint] for by_checkpoint in rates.values()]
        axes.bar(
            [place + 0.27 * (offset - 1) for place in range(len(found))],
            [r.rate for r in found],
            width=0.25,
            yerr=[[r.rate - r.low for r in found], [r.high - r.rate for r in found]],
            error_kw={"lw": 0.8, "capsize": 2},
            label=checkpoint,
        )
    axes.set_xticks(range(len(rates)), list(rates), rotation=35, ha="right", fontsize="small")
    axes.set(title=title, ylabel="pass rate", ylim=(0, 1.05))
    axes.legend(fontsize="small", ncols=3)
    return figure


def rate_rows(scores: Scores) -> list[dict[str, object]]:
    """A row a family, then a row a group."""
    rows = [
        {"family": f, **_rates(r), "RL won, lost": _change(scores, f), "": scores.mark(f)}
        for f, r in scores.families.items()
    ]
    rows += [{"family": f"all {g}", **_rates(r)} for g, r in scores.groups.items()]
    return [*rows, {"family": "cut off before their end", **_rates(scores.cut_off)}]


def variant_rows(scores: Scores) -> list[dict[str, object]]:
    """A row a condition and checkpoint: with it, without it, and what that changed."""
    return [
        {
            "condition": variant.replace("_", " "),
            "checkpoint": name,
            "under it": _rate(found.rate),
            "plainly": _rate(found.plain),
            "won, lost": f"+{found.change.gained} -{found.change.lost}",
            "p": f"{found.change.p_value:.2g}",
            "": found.change.mark,
            "valid calls": _rate(found.tool_calls),
            "plainly valid": _rate(found.plain_tool_calls),
        }
        for variant, by in scores.variants.items()
        for name, found in by.items()
    ]


def overlap_rows(overlaps: Overlaps | None) -> list[dict[str, object]]:
    """A row a suite: items that the training data gives away."""
    return [
        {
            "suite": suite,
            "items": found.items,
            "in the text": found.text,
            "in the dialogues": found.dialogues,
            "with their answer": found.answered,
        }
        for suite, found in (overlaps.suites if overlaps else {}).items()
    ]


def baseline_rows(baseline: Benchmarks) -> list[dict[str, object]]:
    """A row a suite and one a category of a model that everybody can load."""
    return [
        {"suite": suite, "category": category, baseline.model: _rate(rate)}
        for suite, score in baseline.suites.items()
        for category, rate in {"all": score.rate, **score.categories}.items()
    ]


def choice_rows(scores: Scores) -> list[dict[str, object]]:
    """A row a log-likelihood task; chance is a quarter."""
    return [{"task": task, **_rates(by)} for task, by in scores.choices.items()]


def perplexity_rows(perplexity: Mapping[str, Mapping[str, Perplexity]]) -> list[dict[str, object]]:
    """A row a domain."""
    return [
        {
            "domain": domain,
            **{
                name: f"{p.perplexity:.2f} ({p.bits_per_byte:.3f} bits/byte)"
                for name, p in by.items()
            },
        }
        for domain, by in perplexity.items()
    ]


def failure_rows(scores: Scores) -> list[dict[str, object]]:
    """A row a reason, with how many answers of each checkpoint failed for it."""
    reasons = dict.fromkeys(r for found in scores.failures.values() for r in found)
    return [
        {"reason": reason, **{n: found.get(reason, 0) for n, found in scores.failures.items()}}
        for reason in reasons
    ]


def _change(scores: Scores, family: str) -> str:
    change = scores.changes["policy"].get(family)
    return f"+{change.gained} -{change.lost} (p {change.p_value:.2g})" if change else ""


def _rates(rates: Mapping[str, Rate]) -> dict[str, object]:
    return {n: _rate(r) for n, r in rates.items()}


def _rate(rate: Rate) -> str:
    return f"{rate.rate:.0%} [{rate.low:.0%}, {rate.high:.0%}]" if rate.total else ""
