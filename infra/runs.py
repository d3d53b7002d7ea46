"""Looks at recorded runs without importing MLflow, which takes seconds.

Its SQLite file is read as it is, a tracking server asked by its REST interface. Any other place
(PostgreSQL, Databricks) is read through MLflow's client.
"""

import base64
import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple, TypedDict, cast
from urllib.parse import quote

from infra.home import tracking_uri

EXPERIMENT = os.environ.get("K2_EXPERIMENT", "k2")
"""MLflow's experiment that holds all runs."""


class TrackingAwayError(OSError):
    """The tracking server does not answer; the message says which."""


class SeenRun(NamedTuple):
    """A run, as far as a list shows it."""

    run_id: str
    """MLflow's."""
    name: str
    status: str
    """`RUNNING`, `FINISHED`, `FAILED` or `KILLED`."""
    started: int
    """Milliseconds since 1970."""
    ended: int | None
    tags: dict[str, str]
    """Its `k2.` tags, without the prefix."""


def see_runs(since: int = 0) -> list[SeenRun]:
    """All runs of pipelines and stages that started at this millisecond or later, newest first."""
    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        found = _read_sqlite(uri.removeprefix("sqlite:///"), since)
    elif uri.startswith(("http://", "https://")):
        found = list(_ask_server(uri.rstrip("/"), since))
    else:
        found = _ask_mlflow(since)
    return sorted(found, key=lambda run: -run.started)


def refuse_away() -> None:
    """Make sure, before any work, that a tracking server answers: MLflow's client asks for minutes.

    Raises:
        TrackingAwayError: it does not.
    """
    uri = tracking_uri().rstrip("/")
    if uri.startswith(("http://", "https://")):
        next(_ask_server(uri, sys.maxsize), None)


_RUNS = """
select run_uuid, runs.name, status, start_time, end_time
from runs join experiments using (experiment_id)
where experiments.name = ? and runs.lifecycle_stage = 'active' and start_time >= ?
"""
_TAGS = """
select run_uuid, key, value
from tags join runs using (run_uuid)
where key like 'k2.%' and start_time >= ?
"""


def _read_sqlite(path: str, since: int) -> list[SeenRun]:
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
            rows = database.execute(_RUNS, (EXPERIMENT, since)).fetchall()
            tags: dict[str, dict[str, str]] = {row[0]: {} for row in rows}
            for run, key, value in database.execute(_TAGS, (since,)):
                if run in tags:
                    tags[run][key.removeprefix("k2.")] = value
    except sqlite3.OperationalError:  # nothing was recorded yet: there is no file, or no table
        return []
    return [
        SeenRun(run_id, name, status, start, end, tags[run_id])
        for run_id, name, status, start, end in rows
    ]


class _Tag(TypedDict):
    key: str
    value: str


class _Info(TypedDict, total=False):
    run_id: str
    run_name: str
    status: str
    start_time: int
    end_time: int


class _Data(TypedDict, total=False):
    tags: list[_Tag]


class _Run(TypedDict):
    info: _Info
    data: _Data


class _Experiment(TypedDict):
    experiment_id: str


class _Answer(TypedDict, total=False):
    experiment: _Experiment
    runs: list[_Run]
    next_page_token: str


def _ask_server(uri: str, since: int) -> Iterator[SeenRun]:
    place = f"{uri}/api/2.0/mlflow"
    try:
        found = _get(f"{place}/experiments/get-by-name?experiment_name={EXPERIMENT}")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return
        raise
    asked: dict[str, object] = {
        "experiment_ids": [found["experiment"]["experiment_id"]],
        "max_results": 1000,
        "filter": f"attributes.start_time >= {since}",
    }
    while True:
        page = _get(f"{place}/runs/search", asked)
        for run in page.get("runs", []):
            info = run["info"]
            tags = {t["key"]: t["value"] for t in run["data"].get("tags", [])}
            yield SeenRun(
                info["run_id"],
                info["run_name"],
                info["status"],
                int(info["start_time"]),
                int(info["end_time"]) if info.get("end_time") else None,
                {k.removeprefix("k2."): v for k, v in tags.items() if k.startswith("k2.")},
            )
        if not page.get("next_page_token"):
            return
        asked["page_token"] = page["next_page_token"]


def _get(url: str, body: dict[str, object] | None = None) -> _Answer:
    """What the server answers; with MLflow's own variables for who asks."""
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        word = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(word.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return cast("_Answer", json.load(answer))
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        raise TrackingAwayError(
            f"MLflow does not answer at {tracking_uri()} ({error}): start it, or unset "
            "MLFLOW_TRACKING_URI to record in this home"
        ) from error


def _ask_mlflow(since: int = 0) -> list[SeenRun]:
    from infra.tracking import find_runs

    return [
        SeenRun(
            str(run.info.run_id),
            str(run.info.run_name),
            str(run.info.status),
            run.info.start_time,
            run.info.end_time,
            {k.removeprefix("k2."): v for k, v in run.data.tags.items() if k.startswith("k2.")},
        )
        for kind in ("pipeline", "stage")
        for run in find_runs(kind=kind)
        if run.info.start_time >= since
    ]
