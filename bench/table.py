"""Timing and printing."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Row(NamedTuple):
    """One contestant: name, median seconds of a round, and a remark such as its error."""

    name: str
    seconds: float
    remark: str = ""


def median_seconds(work: Callable[[], object], rounds: int = 15) -> float:
    """Median wall time of a round, after one that warms up."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print contestants with their time relative to the first, which is ours."""
    table = Table("contestant", "median", "against ours", "remark", title=title)
    for row in rows:
        ratio = row.seconds / rows[0].seconds
        table.add_row(row.name, f"{row.seconds * 1000:.2f} ms", f"{ratio:.2f}x", row.remark)
    Console().print(table)
