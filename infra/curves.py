"""The curves that a stage drew while it ran."""

import math
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple
from urllib.parse import quote

from infra.home import home

_READERS = 8
_POINTS = """
select key, step, value, is_nan from metrics where run_uuid = ?
order by key, step, timestamp
"""


class CurvePoint(NamedTuple):
    """Of a curve."""

    step: int
    value: float


def read_curves(run_id: str, names: Sequence[str]) -> dict[str, list[CurvePoint]]:
    """Points of each of these metrics by step; what was recorded last where a step is twice."""
    by_step: dict[str, dict[int, float]] = {}
    own = "MLFLOW_TRACKING_URI" not in os.environ
    for name, point in _in_home(run_id) if own else _by_mlflow(run_id, names):
        by_step.setdefault(name, {})[point.step] = point.value
    return {
        name: [CurvePoint(*point) for point in sorted(by_step[name].items())]
        for name in names
        if name in by_step
    }


def _in_home(run_id: str) -> list[tuple[str, CurvePoint]]:
    """All of a run's points, from the home's database as it is: also where it is read-only."""
    place = f"file:{quote(str(home() / 'mlflow.db'))}?mode=ro"
    with closing(sqlite3.connect(place, uri=True)) as database:
        rows = database.execute(_POINTS, [run_id])
        return [
            (name, CurvePoint(step, math.nan if is_nan else value))
            for name, step, value, is_nan in rows
        ]


def _by_mlflow(run_id: str, names: Sequence[str]) -> list[tuple[str, CurvePoint]]:
    from infra.tracking import client

    def read(name: str) -> list[tuple[str, CurvePoint]]:
        history = client().get_metric_history(run_id, name)
        points = sorted(history, key=lambda m: m.timestamp)
        return [(name, CurvePoint(point.step, point.value)) for point in points]

    known = client().get_run(run_id).data.metrics
    with ThreadPoolExecutor(_READERS) as threads:
        found = threads.map(read, [name for name in names if name in known])
        return [point for points in found for point in points]
