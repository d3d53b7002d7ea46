"""What the command prints: tables of runs and stages, and the tree of a lineage."""

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Run
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from infra.lineage import find_runs, read_record
from infra.progress import format_seconds
from schemas.artifacts import Evaluation
from schemas.base import Artifact
from schemas.evaluate import CHECKPOINTS, Rate, Scores
from schemas.lineage import LineageRecord
from tasks.adapter import open_store

console = Console()


def show_runs() -> None:
    """All pipelines, the newest first."""
    table = Table("run", "status", "started", "took", "stages", "cached", "code")
    for run in find_runs(kind="pipeline"):
        stages = find_runs(kind="stage", flyte_run=run.data.tags["k2.flyte_run"])
        done = [s for s in stages if s.info.status == "FINISHED"]
        cached = [s for s in done if "k2.cached" in s.data.tags]
        table.add_row(
            run.info.run_name,
            str(run.info.status),
            _clock(run.info.start_time),
            _took(run),
            f"{len(done)}/10",
            str(len(cached)),
            run.data.tags["k2.code"][:10],
        )
    console.print(table)


def show_result(flyte_run: str) -> None:
    """A finished run: stage by stage, then the evaluation, then where to look next."""
    table = Table("stage", "wall time", "in", "out", title=f"run {flyte_run}")
    evaluation: Artifact | None = None
    stages = sorted(
        find_runs(kind="stage", flyte_run=flyte_run), key=lambda run: run.info.start_time
    )
    for run in stages:
        if run.info.status != "FINISHED":
            continue
        record = read_record(run)
        took = "cached" if "k2.cached" in run.data.tags else _took(run)
        outputs = "\n".join(_counts(a) for a in record.outputs.values())
        table.add_row(record.stage, took, "\n".join(record.inputs) or "-", outputs)
        evaluation = record.outputs.get("evaluation", evaluation)
    console.print(table)
    if evaluation is not None:
        show_evaluation(Evaluation.model_validate(evaluation.model_dump()))


def show_evaluation(evaluation: Evaluation) -> None:
    """Pass rates with 95 % intervals and perplexities, base / SFT / RL side by side."""
    path = open_store().open(evaluation) / "scores.json"
    scores = Scores.model_validate_json(path.read_bytes())
    improved = set(scores.improved())
    table = Table("held out", "base", "SFT", "RL", "", title="pass rates, 95 % intervals")
    for family, rates in scores.families.items():
        table.add_row(family, *_cells(rates), "RL beyond SFT" if family in improved else "")
    table.add_section()
    for group, rates in scores.groups.items():
        table.add_row(f"[bold]{group}[/bold]", *_cells(rates), "")
    table.add_row("valid tool calls", *_cells(scores.tool_calls), "")
    table.add_section()
    for domain, by in scores.perplexity.items():
        cells = [f"{by[name].perplexity:.2f}" for name in CHECKPOINTS]
        table.add_row(f"perplexity, {domain}", *cells, "")
    console.print(table)


def show_lineage(target: str) -> None:
    """The tree of stages, configs and digests that made a run's release or an artifact."""
    records = _all_records()
    artifact = _find_artifact(target, records)
    makers = {a.digest: (r, run) for r, run in records for a in r.outputs.values()}
    tree = Tree(_label(artifact))
    _grow(tree, artifact, makers, set())
    console.print(tree)


def _grow(
    tree: Tree,
    artifact: Artifact,
    makers: Mapping[str, tuple[LineageRecord, Run]],
    seen: set[str],
) -> None:
    if artifact.digest not in makers:
        tree.add("[red]maker not recorded[/red]")
        return
    record, run = makers[artifact.digest]
    branch = tree.add(
        f"made by [cyan]{record.stage}[/cyan] version {record.version}, code "
        f"{run.data.tags['k2.code'][:12]}, run {run.data.tags['k2.flyte_run']}, "
        f"mlflow {run.info.run_id[:8]}"
    )
    if artifact.digest in seen:
        branch.add("(shown above)")
        return
    seen.add(artifact.digest)
    if "config" in record.configs:
        text = json.dumps(record.configs["config"], separators=(",", ":"))
        branch.add(f"[dim]config {text[:160]}{'…' if len(text) > 160 else ''}[/dim]")
    if artifact.kind == "raw_corpus" and open_store().has(artifact):
        sources = json.loads((open_store().open(artifact) / "sources.json").read_text())
        for name, source in sources.items():
            branch.add(f"source [green]{name}[/green]: {_source(source)}")
    for name, parent in record.inputs.items():
        _grow(branch.add(f"{name}: {_label(parent)}"), parent, makers, seen)


def _all_records() -> list[tuple[LineageRecord, Run]]:
    """Every finished stage with its record; where one was cached, its maker comes first."""
    runs = [r for r in find_runs(kind="stage") if r.info.status == "FINISHED"]
    runs.sort(key=lambda run: "k2.cached" not in run.data.tags)
    return [(read_record(run), run) for run in runs]


def _find_artifact(target: str, records: list[tuple[LineageRecord, Run]]) -> Artifact:
    wanted = target if target.startswith("sha256:") else f"sha256:{target}"
    newest = sorted(records, key=lambda pair: -pair[1].info.start_time)
    for record, run in newest:
        for artifact in record.outputs.values():
            by_run = run.data.tags["k2.flyte_run"].startswith(target) or target == "latest"
            if artifact.digest.startswith(wanted) or (by_run and artifact.kind == "release"):
                return artifact
    for record, run in newest:
        if run.data.tags["k2.flyte_run"].startswith(target):
            return next(iter(record.outputs.values()))
    raise LookupError(f"{target!r} is no recorded run (see `k2 runs`) and no artifact's digest")


def _cells(rates: Mapping[str, Rate]) -> list[str]:
    found = (rates[name] for name in CHECKPOINTS)
    return [f"{r.rate:4.0%} [{r.low:.0%}, {r.high:.0%}]" for r in found]


def _label(artifact: Artifact) -> str:
    return f"[bold]{artifact.kind}[/bold] {artifact.digest} ({_counts(artifact)})"


def _counts(artifact: Artifact) -> str:
    return ", ".join(f"{value:,.6g} {name}" for name, value in artifact.counts.items())


def _source(source: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in source.items() if key != "digest")


def _clock(milliseconds: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%m-%d %H:%M:%S")


def _took(run: Run) -> str:
    if run.info.end_time is None:
        return "-"
    return format_seconds((run.info.end_time - run.info.start_time) / 1000)
