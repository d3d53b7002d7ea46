"""The curves that a stage drew while it ran."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from infra.lineage import client

_READERS = 8


class CurvePoint(NamedTuple):
    """Of a curve."""

    step: int
    value: float


def read_curves(run_id: str, names: Sequence[str]) -> dict[str, list[CurvePoint]]:
    """Points of each of these metrics by step; what was recorded last where a step is twice."""

    def read(name: str) -> list[CurvePoint]:
        history = client().get_metric_history(run_id, name)
        by_step = {m.step: m.value for m in sorted(history, key=lambda m: m.timestamp)}
        return [CurvePoint(step, by_step[step]) for step in sorted(by_step)]

    known = client().get_run(run_id).data.metrics
    wanted = [name for name in names if name in known]
    with ThreadPoolExecutor(_READERS) as threads:
        return dict(zip(wanted, threads.map(read, wanted), strict=True))
