"""The page of a run: what was made, out of what, how it went, and what it can do."""

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from infra.pages import render_facts, render_table
from infra.pages.stage import render_work
from infra.progress import format_seconds
from k2core.evaluate.compare import Flip
from schemas.base import Artifact
from schemas.evaluate import CHECKPOINTS, Rate, Scores
from workflows.pages.charts import Bar, Node, render_bars, render_chart, render_graph
from workflows.pages.read import RunOnPage, StageOnPage

_COLOURS = {"base": "base", "sft": "SFT", "policy": "RL"}
_MOST_COUNTS = 3


def render_run(run: RunOnPage, place: Path) -> str:
    """The body of a run's page.

    Args:
        run: what to show.
        place: the folder where the page will lie; links to stages' own pages start there.
    """
    return "\n".join(
        (
            _head(run),
            "<h2>Lineage</h2>",
            render_graph(
                [Node(stage.name, _in_short(stage.record.outputs)) for stage in run.stages],
                run.edges,
            ),
            "<h2>Data</h2>",
            _funnel(run),
            *(["<h2>Training</h2>", *map(render_chart, run.charts)] if run.charts else []),
            *([_scores(run.scores)] if run.scores else []),
            _dialogues(run.flips),
            "<h2>Stages</h2>",
            _times(run.stages),
            *(_stage(stage, place) for stage in run.stages),
        )
    )


def _head(run: RunOnPage) -> str:
    checkpoint, released = run.made("checkpoint"), run.made("release")
    text, dialogues = run.made("token_corpus"), run.made("trajectory_set")
    parameters = next(
        (s.record.outputs["checkpoint"].counts for s in run.stages if s.name == "pretrain"), {}
    )
    made = []
    if parameters:
        made.append(
            f"a mixture-of-experts model of {_si(parameters['parameters'])} parameters, "
            f"{_si(parameters['active_parameters'])} active"
        )
    if text:
        made.append(f"from {_si(text.counts['train_tokens'])} tokens of text")
    if dialogues:
        made.append(f"and {dialogues.counts['trajectories']:,.0f} tool-use dialogues")
    said = " ".join(made) or "Nothing is made yet"
    left = f" Not done: {', '.join(run.missing)}." if run.missing else ""
    facts = {
        "recipe": escape(run.recipe),
        "started": escape(run.date),
        "machine": escape(run.machine),
        "time": format_seconds(sum(stage.seconds for stage in run.stages)) + " of all stages",
        "code": f"<code>{escape(run.code)}</code>",
        "records": f"<code>{escape(run.tracking)}</code>",
    }
    if released:
        facts["release"] = f"<code>{escape(released.digest)}</code>"
        facts["check it"] = f"<code>k2 verify {escape(run.name)}</code>"
    lead = f"{said[0].upper()}{said[1:]}; {run.status}." if checkpoint else f"{said}; {run.status}."
    return (
        f'<h1>{escape(run.name)}</h1><p class="lead">{escape(lead + left)}</p>{render_facts(facts)}'
    )


def _si(count: float) -> str:
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:.0f}"


def _in_short(outputs: Mapping[str, Artifact]) -> str:
    return next((_counts(artifact).split(", ")[0] for artifact in outputs.values()), "")


def _funnel(run: RunOnPage) -> str:
    """What came in and what was left, text and dialogues."""
    rows = []
    for stage in run.stages:
        for artifact in stage.record.outputs.values():
            kept = next((artifact.counts[n] for n in _KEPT if n in artifact.counts), None)
            rejects = artifact.counts.get("rejects")
            if kept is not None:
                share = "" if rejects is None else f"{kept / max(1, kept + rejects):.1%}"
                left_out = "" if rejects is None else f"{rejects:,.0f}"
                rows.append(
                    (stage.name, artifact.kind.replace("_", " "), f"{kept:,.0f}", left_out, share)
                )
    heads = ("stage", "what", "kept", "left out", "kept share")
    return render_table(heads, rows, numbers=(2, 3, 4))


_KEPT = ("documents", "rewrites", "trajectories", "dialogues", "rollouts", "answers")
"""What counts things that go in and out, the first that an artifact has."""


def _scores(scores: Scores) -> str:
    keys = "".join(
        f'<span class="key" style="background:var(--{name})"></span>{said}'
        for name, said in _COLOURS.items()
    )
    groups = {name: _bars(rates) for name, rates in scores.groups.items()}
    groups["valid tool calls"] = _bars(scores.tool_calls)
    families = {name: _bars(rates) for name, rates in scores.families.items()}
    heads = ("RL over SFT", "won", "lost", "p", "")
    changes = [
        (escape(family), str(c.gained), str(c.lost), f"{c.p_value:.2g}", scores.mark(family))
        for family, c in scores.changes.get("policy", {}).items()
    ]
    texts = [
        (escape(domain), *(f"{by[name].perplexity:,.2f}" for name in CHECKPOINTS))
        for domain, by in scores.perplexity.items()
    ]
    return (
        f"<h2>What it can do</h2><p>Held-out problems passed, with 95 % intervals.{keys}</p>"
        f"{render_bars(groups)}<details><summary>Every family</summary>{render_bars(families)}"
        "<p>Won and lost on the same problems; p of the exact paired test, + and - where it stays "
        "below 5 % corrected for the number of families (Holm).</p>"
        f"{render_table(heads, changes, (1, 2, 3))}<h3>Perplexity on held-out text</h3>"
        f"{render_table(('', 'base', 'SFT', 'RL'), texts, (1, 2, 3))}</details>"
    )


def _bars(rates: Mapping[str, Rate]) -> list[Bar]:
    """Where nothing was asked there is nothing to show: the interval of nothing is all."""
    found = [(name, rates[name]) for name in CHECKPOINTS if rates[name].total]
    return [Bar(name, rate.rate, rate.low, rate.high) for name, rate in found]


def _dialogues(flips: Sequence[Flip]) -> str:
    """Two that RL won and one that it lost, of different families where there are."""
    won = list({flip.category: flip for flip in flips if flip.won}.values())[:2]
    shown = [*won, *[flip for flip in flips if not flip.won][:1]]
    if not shown:
        return ""
    parts = []
    for flip in shown:
        sides = "".join(
            f"<div><b>{name}</b>: {escape(reason) or 'passed'}<pre>{escape(said)}</pre></div>"
            for name, reason, said in zip(("SFT", "RL"), flip.reasons, flip.said, strict=True)
        )
        word = "won" if flip.won else "lost"
        parts.append(f'<h3>{word} by RL: {escape(flip.item)}</h3><div class="sides">{sides}</div>')
    return f"<h2>What it says</h2>{''.join(parts)}"


def _times(stages: Sequence[StageOnPage]) -> str:
    rows = [
        (
            f'<a href="#{stage.name}">{stage.name}</a>',
            format_seconds(stage.seconds) + (" (then; cached now)" if stage.cached else ""),
            "; ".join(escape(_counts(a)) for a in stage.record.outputs.values()),
        )
        for stage in stages
    ]
    return render_table(("stage", "time", "made"), rows)


def _counts(artifact: Artifact) -> str:
    return ", ".join(artifact.describe_counts().split(", ")[:_MOST_COUNTS]).replace("_", " ")


def _stage(stage: StageOnPage, place: Path) -> str:
    link = ""
    if stage.report is not None:
        target = escape(os.path.relpath(stage.report, place).replace(os.sep, "/"))
        link = f' <a href="{target}">its own page</a>'
    about = f"version {escape(stage.record.version)}, {format_seconds(stage.seconds)}.{link}"
    name = stage.name
    return f'<h3 id="{name}">{name}</h3><p class="faint">{about}</p>{render_work(stage.record)}'
