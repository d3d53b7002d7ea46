"""The table of recorded runs; prints in a moment, because it imports nothing that is slow."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table

from infra.alive import is_dead
from infra.progress import format_seconds
from infra.runs import SeenRun, see_runs


class Pipeline(NamedTuple):
    """A recorded pipeline, as a list shows it."""

    run: str
    status: str
    """`RUNNING`, `FINISHED`, `FAILED` or `KILLED`."""
    started: int
    """Milliseconds since 1970."""
    ended: int | None
    done: int
    """Stages that ended well."""
    stages: int | None
    """That it was to have."""
    cached: int
    """Stages that the cache answered."""
    code: str


def list_pipelines() -> Iterator[Pipeline]:
    """All pipelines, the newest first."""
    runs = see_runs()
    finished: dict[str, list[SeenRun]] = {}
    for run in runs:
        if run.tags.get("kind") == "stage" and run.status == "FINISHED":
            finished.setdefault(run.tags.get("flyte_run", ""), []).append(run)
    for run in runs:
        if run.tags.get("kind") == "pipeline":
            process = run.tags.get("process", "")
            done = finished.get(run.tags["flyte_run"], [])
            yield Pipeline(
                run=run.name,
                status="KILLED" if run.status == "RUNNING" and is_dead(process) else run.status,
                started=run.started,
                ended=run.ended,
                done=len(done),
                stages=int(run.tags["stages"]) if "stages" in run.tags else None,
                cached=len([stage for stage in done if "cached" in stage.tags]),
                code=run.tags["code"],
            )


def show_runs(*, as_json: bool = False) -> None:
    """Print them."""
    if as_json:
        print(json.dumps({"runs": [each._asdict() for each in list_pipelines()]}, indent=1))
        return
    table = Table(
        Column("run", no_wrap=True), "status", "started", "took", "stages", "cached", "code"
    )
    for each in list_pipelines():
        table.add_row(
            each.run,
            each.status,
            format_clock(each.started),
            _took(each),
            f"{each.done}/{each.stages}" if each.stages else str(each.done),
            str(each.cached),
            each.code[:10],
        )
    Console().print(table)


def format_clock(milliseconds: int) -> str:
    """Date and time where this runs."""
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%m-%d %H:%M:%S")


def _took(run: Pipeline) -> str:
    return "-" if run.ended is None else format_seconds((run.ended - run.started) / 1000)
