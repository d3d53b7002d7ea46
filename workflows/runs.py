"""The table of recorded runs; prints in a moment, because it imports nothing that is slow."""

from datetime import datetime

from rich.console import Console
from rich.table import Column, Table

from infra.alive import is_dead
from infra.progress import format_seconds
from infra.runs import SeenRun, see_runs


def show_runs() -> None:
    """All pipelines, the newest first."""
    table = Table(
        Column("run", no_wrap=True), "status", "started", "took", "stages", "cached", "code"
    )
    runs = see_runs()
    finished: dict[str, list[SeenRun]] = {}
    for run in runs:
        if run.tags.get("kind") == "stage" and run.status == "FINISHED":
            finished.setdefault(run.tags.get("flyte_run", ""), []).append(run)
    for run in runs:
        if run.tags.get("kind") == "pipeline":
            process = run.tags.get("process", "")
            done = finished.get(run.tags["flyte_run"], [])
            table.add_row(
                run.name,
                "KILLED" if run.status == "RUNNING" and is_dead(process) else run.status,
                format_clock(run.started),
                _took(run),
                "/".join([str(len(done)), *filter(None, [run.tags.get("stages")])]),
                str(len([stage for stage in done if "cached" in stage.tags])),
                run.tags["code"][:10],
            )
    Console().print(table)


def format_clock(milliseconds: int) -> str:
    """Date and time where this runs."""
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%m-%d %H:%M:%S")


def _took(run: SeenRun) -> str:
    return "-" if run.ended is None else format_seconds((run.ended - run.started) / 1000)
