"""What a stage's line says: how long the rest takes, and how often it speaks where nobody looks."""

import io
import json
import os
import pty
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.progress import Point, Progress, ProgressLine

TRACES = {
    f"{path.stem} {stage}": points
    for path in sorted((Path(__file__).parent / "traces").glob("*.json"))
    for stage, points in json.loads(path.read_text()).items()
}
"""Recorded runs (`python -m tests.infra.record_traces RUN`): each stage's reports, then its end."""


def estimates(points: list[list[float]]) -> list[tuple[float, float]]:
    """What is promised and what is true, after each report from a tenth of the work on."""
    progress, found, begin = Progress(), [], points[0][1]
    *reports, (end, _, _) = points
    for seconds, done, total in reports:
        progress.add(seconds, done, total)
        left = progress.left(seconds)
        if left is not None and (done - begin) / (total - begin) >= 0.1:
            found.append((left, end - seconds))
    return found


@pytest.mark.parametrize("name", TRACES)
def test_after_a_tenth_the_rest_is_known_within_a_factor_of_two(name: str) -> None:
    """Three seconds of closing (an export, plots) are allowed for."""
    for left, true in estimates(TRACES[name]):
        assert true / 2 - 3 <= left <= 2 * true + 3, (left, true)


@given(
    start=st.floats(0, 600),
    first=st.floats(0, 100),
    unit=st.floats(0.01, 10),
    count=st.integers(20, 300),
    begins=st.booleans(),
)
def test_neither_start_up_nor_a_slow_first_unit_counts(
    start: float, first: float, unit: float, count: int, begins: bool
) -> None:
    """43 minutes were once promised for a stage of two, in its first minute of starting up."""
    begun = [[0.0, 0.0, count], *([[start, 0.0, count]] if begins else [])]
    steps = [[start + first + unit * n, n + 1.0, count] for n in range(count)]
    end = [start + first + unit * (count - 1), 1.0, 1.0]
    found = estimates([*begun, *steps, end])
    assert found
    for left, true in found:
        assert left == pytest.approx(true, abs=1e-6)


def test_a_pace_that_changes_is_followed() -> None:
    slow = [[10.0 * n, float(n), 100] for n in range(31)]
    fast = [[300.0 + n, 30.0 + n, 100] for n in range(1, 71)]
    progress = Progress()
    for seconds, done, total in slow + fast[:40]:
        progress.add(seconds, done, total)
    assert progress.left(340.0) == pytest.approx(30.0, rel=0.2)


def test_time_that_passes_is_taken_off_the_promise() -> None:
    progress = Progress()
    for n in range(6):
        progress.add(10.0 * n, n, 10)
    assert (progress.left(50.0), progress.left(54.0), progress.left(999.0)) == (50.0, 46.0, None)


def test_nothing_is_promised_before_two_units_are_done() -> None:
    progress = Progress()
    for seconds, done in ((0.0, 0.0), (60.0, 0.0), (70.0, 1.0)):
        progress.add(seconds, done, 10)
        assert progress.left(seconds) is None
    assert progress.frac == 0.1


def test_a_total_that_is_not_known_yet_promises_nothing_and_its_time_counts() -> None:
    progress = Progress()
    for seconds in (0.0, 2.0, 9.0, 15.0, 20.0):
        progress.add(84.0 + seconds, seconds, 0)
        assert (progress.frac, progress.left(84.0 + seconds)) == (0.0, None)
    progress.add(106.0, 22.0, 72.0)
    assert progress.left(106.0) == pytest.approx(50.0)


def test_many_reports_are_thinned_out() -> None:
    progress = Progress()
    for n in range(5001):
        progress.add(0.5 * n, n, 10_000)
    assert len(progress.points) <= 400
    assert progress.points[0] == Point(0.0, 0, 10_000)
    assert progress.left(2500.0) == pytest.approx(2500, rel=0.01)


def test_without_a_terminal_a_stage_is_one_line_and_a_long_one_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("infra.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    short = ProgressLine("clean", stream)
    for second in range(50):
        now[0] = second
        short.update(second, 50)
    short.finish("50 documents")
    assert stream.getvalue() == "  clean      done in 49.0s  50 documents\n"
    long = ProgressLine("rl", stream)
    for second in range(4 * 3600):
        now[0] = 49.0 + second
        long.update(second, 4 * 3600)
    lines = stream.getvalue().splitlines()[1:]
    assert 10 <= len(lines) <= 25
    assert "left 3h59m" in lines[0]


@pytest.mark.parametrize(
    "reports",
    [
        [(69.6, 0, 28), (69.7, 14, 28), (90.8, 28, 28)],  # two groups, then the gate until 106.9
        [(0.0, 1, 4), (3.4, 2, 4), (7.0, 3, 4)],  # the last of four proofs took until 34.8
    ],
)
def test_few_and_unequal_units_promise_nothing(reports: list[tuple[float, float, float]]) -> None:
    """As recorded of rephrase and release; a promise would have been wrong sevenfold."""
    progress = Progress()
    for report in reports:
        progress.add(*report)
        assert progress.left(report[0]) is None


@pytest.mark.parametrize(("columns", "seen"), [(60, 59), (0, 79)])
def test_on_a_terminal_a_line_is_redrawn_in_place_and_never_wrapped(
    monkeypatch: pytest.MonkeyPatch, columns: int, seen: int
) -> None:
    now = [0.0]
    monkeypatch.setattr("infra.progress.time.monotonic", lambda: now[0])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with os.fdopen(theirs, "w") as stream:
        line = ProgressLine("clean", stream)
        for number in range(1, 4):
            now[0] = number
            line.update(number, 3, f"{number}00 read, {number}00 extracted, " + "kept " * 20)
        line.finish("all of it")
        drawn = ""
        while not drawn.endswith("\n"):
            drawn += os.read(ours, 10_000).decode()
    os.close(ours)
    first, *rest = drawn.split("\r\x1b[K")
    assert first == ""
    assert [len(each) for each in rest[:3]] == [seen] * 3
    assert ["300 read" in each for each in rest] == [False, False, True, False]
    assert rest[3] == "  clean      done in 3.0s  all of it\r\n"
