"""Rows through Ray Data's replicas: results at once, deaths survived, errors as they are."""

import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from k2core.engines.ray.dataset import Row, Work, stream_rows
from schemas.placement import Serving

pytestmark = pytest.mark.slow


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{path.name} was never made")


def open_work(folder: Path) -> Work:
    """Doubles numbers; goes on only when the one before has arrived, and dies once at 3."""

    def work(rows: Sequence[Row]) -> Iterator[Row]:
        for at, row in enumerate(rows):
            number = row["number"]
            if number < 0:
                raise ValueError(f"{number} is negative")
            if at:
                wait_for(folder / f"arrived-{rows[at - 1]['number']}")
            died = folder / "died"
            if number == 3 and not died.exists():
                died.touch()
                os._exit(1)
            yield {"number": number, "double": 2 * number, "batch": len(rows)}

    return work


def test_every_result_arrives_before_the_next_is_begun(tmp_path: Path) -> None:
    batches = [[{"number": 0}, {"number": 1}], [{"number": 2}, {"number": 3}], [{"number": 4}]]
    open_here = functools.partial(open_work, tmp_path)
    found = {}
    for row in stream_rows(batches, open_here, Serving(num_engines=2)):
        (tmp_path / f"arrived-{row['number']}").touch()
        found[row["number"]] = (row["double"], row["batch"])
    assert (tmp_path / "died").exists()
    assert found == {0: (0, 2), 1: (2, 2), 2: (4, 2), 3: (6, 2), 4: (8, 1)}


def test_an_error_arrives_as_it_was_raised(tmp_path: Path) -> None:
    open_here = functools.partial(open_work, tmp_path)
    with pytest.raises(ValueError, match="-7 is negative"):
        list(stream_rows([[{"number": -7}]], open_here, Serving(num_engines=1)))
