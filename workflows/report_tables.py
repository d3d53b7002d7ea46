"""A recorded run's tables in Markdown, and where they stand in the pages."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.progress import format_seconds
from schemas.base import Artifact
from schemas.evaluate import CHECKPOINTS, Rate, Scores

if TYPE_CHECKING:
    from workflows.report import RunReport

_BLOCK = re.compile(r"(<!-- k2 report: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_MOST_COUNTS = 3
"""Counts of an artifact that README shows; all are in docs/results.md."""


def render_pages(report: "RunReport", pages: Iterable[Path]) -> None:
    """Write the tables between their marks, `<!-- k2 report: NAME -->` and `<!-- end -->`."""
    for page in pages:
        page.write_text(render(report, page.read_text()))


def render(report: "RunReport", text: str) -> str:
    """The page with the report's tables in place of those that stand there.

    Raises:
        KeyError: a mark names no table.
    """
    return _BLOCK.sub(lambda m: f"{m[1]}{TABLES[m[2]](report)}\n{m[4]}", text)


def origin(report: "RunReport") -> str:
    """One sentence: which run, where, of what code, to which release."""
    return (
        f"Run `{report.run}` (recipe `{report.recipe}`) of {report.date} on {report.machine}; code "
        f"`{report.code[:10]}{'+changed' * report.code.endswith('+changed')}`, release "
        f"`{report.release.removeprefix('sha256:')[:16]}`."
    )


def stages(report: "RunReport") -> str:
    """A row a stage with its time and the first counts of what it made."""
    rows = [
        (s.stage, format_seconds(s.seconds), _counts(s.outputs, _MOST_COUNTS))
        for s in report.stages
    ]
    return _page(report, ("stage", "wall time", "out"), [*rows, _all(report)])


def groups(report: "RunReport") -> str:
    """A row a group of families, and the calls that were valid."""
    rows = [(f"{group} problems", *_rates(rates)) for group, rates in report.scores.groups.items()]
    rows.append(("valid tool calls", *_rates(report.scores.tool_calls)))
    return _table(("held out", "base", "SFT", "RL"), rows)


def whole(report: "RunReport") -> str:
    """Everything: all counts and digests, every family, perplexities."""
    made = [
        (s.stage, s.version, format_seconds(s.seconds), _counts({name: a}), f"`{_short(a)}`")
        for s in report.stages
        for name, a in s.outputs.items()
    ]
    families = [
        (family, *_rates(rates), *_changed(report.scores, family))
        for family, rates in report.scores.families.items()
    ]
    texts = [
        (f"perplexity, {domain}", *(f"{by[name].perplexity:,.2f}" for name in CHECKPOINTS))
        for domain, by in report.scores.perplexity.items()
    ]
    stage_heads = ("stage", "version", "wall time", "out", "digest")
    heads = ("held out", "base", "SFT", "RL")
    return "\n\n".join(
        (
            _page(report, stage_heads, made),
            "Passed, with 95 % intervals; what RL won and lost against SFT on the same problems, "
            "and the chance of as much between equals (exact McNemar); + and - mark what stays "
            "below 5 % when corrected for the number of families (Holm):",
            _table((*heads, "RL won, lost", "p", ""), families),
            groups(report),
            _table(heads, texts),
            *_conditions(report.scores),
            *_overlaps(report.scores),
        )
    )


TABLES: "Mapping[str, Callable[[RunReport], str]]" = {
    "stages": stages,
    "groups": groups,
    "whole": whole,
}


def _conditions(scores: Scores) -> Iterator[str]:
    """What each condition changed, checkpoint by checkpoint; and log-likelihood tasks."""
    if scores.choices:
        heads = ("likeliest of four", "base", "SFT", "RL")
        yield _table(heads, [(task, *_rates(by)) for task, by in scores.choices.items()])
    compared = [
        (
            condition.replace("_", " "),
            name,
            *(_rate(r) for r in (found.plain, found.rate)),
            f"+{found.change.gained} -{found.change.lost}",
            f"{found.change.p_value:.2g}",
            *(_rate(r) for r in (found.plain_tool_calls, found.tool_calls)),
        )
        for condition, by in scores.variants.items()
        for name, found in by.items()
    ]
    if compared:
        asked = ("condition", "", "plainly", "so", "won, lost", "p", "valid calls, plainly", "so")
        yield "The same held-out problems asked plainly and under a condition, paired:"
        yield _table(asked, compared)


def _overlaps(scores: Scores) -> Iterator[str]:
    """Items of each suite that training data gives away."""
    if scores.overlaps is None:
        return
    yield (
        f"Items of which training data holds {scores.overlaps.ngram} words and signs in a row, or "
        f"all of a shorter one, in {scores.overlaps.tokens_read:,} tokens of text and in all SFT "
        "dialogues; and those asked there with the same data and the same answer:"
    )
    heads = ("items", "", "text", "dialogues", "answered")
    yield _table(
        heads,
        [
            (suite, *(f"{n:,}" for n in (o.items, o.text, o.dialogues, o.answered)))
            for suite, o in scores.overlaps.suites.items()
        ],
    )


def _page(report: "RunReport", heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"{origin(report)}\n\n{_table(heads, rows)}"


def _all(report: "RunReport") -> tuple[str, str, str]:
    return "all", format_seconds(sum(s.seconds for s in report.stages)), ""


def _counts(outputs: Mapping[str, Artifact], most: int | None = None) -> str:
    made = [artifact.describe_counts().split(", ")[:most] for artifact in outputs.values()]
    return "; ".join(", ".join(counts) for counts in made).replace("_", " ")


def _short(artifact: Artifact) -> str:
    return artifact.digest.removeprefix("sha256:")[:16]


def _changed(scores: Scores, family: str) -> tuple[str, str, str]:
    change = scores.changes["policy"][family]
    return f"+{change.gained} -{change.lost}", f"{change.p_value:.2g}", scores.mark(family)


def _rates(rates: Mapping[str, Rate]) -> list[str]:
    return [_rate(rates[name]) for name in CHECKPOINTS]


def _rate(rate: Rate) -> str:
    if not rate.total:
        return ""
    return f"{rate.rate:.0%} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
