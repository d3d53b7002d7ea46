"""The line of each running stage: redrawn on a terminal, elsewhere one when it ends."""

import os
import sys
import threading
import time
from typing import NamedTuple, TextIO

_FIRST_WORD, _LATER_FRAC = 60.0, 0.25
_WIDE = 100
"""Columns from which on the bar is long: the note counts for more."""
_MOST_POINTS, _FEWEST_POINTS = 400, 5


def format_seconds(seconds: float) -> str:
    """`7.3s`, `2m05s` or `1h02m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


class Point(NamedTuple):
    """How far a stage was, and when."""

    seconds: float
    done: float
    total: float


class Progress:
    """How far a stage is, and how long the rest will take, judged by the pace of late.

    A stage starts up (engines, imports) before it says that anything is done, its first unit
    compiles and fills caches, and its pace changes: so the pace is that of the later half of what
    was done. Nothing is promised before four units are done, since few units are seldom equal ones,
    nor when all are: what a stage does then is none of them.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        """Where `done` changed, the first report included; thinned out when they are many."""

    def add(self, seconds: float, done: float, total: float) -> None:
        """Take a report; a repeated `done` before any work only says that it has not begun."""
        point = Point(seconds, done, total)
        if len(self.points) == 1 and done <= self.points[0].done:
            self.points.clear()
        if not self.points or done > self.points[-1].done:
            self.points.append(point)
            if len(self.points) > _MOST_POINTS:
                del self.points[2::2]

    @property
    def frac(self) -> float:
        """The share that is done."""
        if not self.points or not self.points[-1].total:
            return 0.0
        return min(1.0, max(0.0, self.points[-1].done / self.points[-1].total))

    def left(self, seconds: float) -> float | None:
        """Seconds from now to the end; None where nothing tells, or where more time has passed."""
        if len(self.points) < _FEWEST_POINTS or self.frac == 1.0:
            return None
        last, middle = self.points[-1], (self.points[0].done + self.points[-1].done) / 2
        since = next(p for p in reversed(self.points[:-1]) if p.done <= middle)
        pace = (last.seconds - since.seconds) / (last.done - since.done)
        left = pace * (last.total - last.done) - (seconds - last.seconds)
        return left if left > 0 else None


class ProgressLine:
    """One stage's line: name, bar, share, elapsed and remaining time, note. Thread-safe."""

    _lock = threading.Lock()

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self.name = name
        self.progress = Progress()
        self._stream = stream or sys.stderr
        self._started = time.monotonic()
        self._live = self._stream.isatty()
        self._due = 0.1 if self._live else _FIRST_WORD

    def update(self, done: float, total: float, note: str = "") -> None:
        """Redraw on a terminal; elsewhere say so after a minute, and then ever more seldom."""
        elapsed = time.monotonic() - self._started
        self.progress.add(elapsed, done, total)
        if elapsed < self._due:
            return
        self._due = elapsed + (0.1 if self._live else max(_FIRST_WORD, _LATER_FRAC * elapsed))
        frac, seconds = self.progress.frac, self.progress.left(elapsed)
        left = "" if seconds is None else f" left {format_seconds(seconds)}"
        cells = 6 if self._live and _columns(self._stream) < _WIDE else 20
        filled = round(frac * cells)
        bar = "━" * filled + "─" * (cells - filled)
        self._write(f"{bar} {frac:4.0%} {format_seconds(elapsed)}{left}  {note}", final=False)

    def trace(self) -> list[tuple[float, float, float]]:
        """Seconds, done and total of the reports so far, and the time now: to be kept."""
        now = time.monotonic() - self._started
        return [(round(s, 2), d, t) for s, d, t in self.progress.points] + [(round(now, 2), 1, 1)]

    def finish(self, note: str, word: str = "done in") -> None:
        """Leave the last line in place."""
        elapsed = format_seconds(time.monotonic() - self._started)
        self._write(f"{word} {elapsed}  {note}", final=True)

    def _write(self, text: str, *, final: bool) -> None:
        line = f"  {self.name:<11}{text}"
        with self._lock:
            if self._live:
                fits = line if final else line[: _columns(self._stream) - 1]
                self._stream.write(f"\r\x1b[K{fits}" + ("\n" if final else ""))
            else:
                self._stream.write(line + "\n")
            self._stream.flush()


def _columns(stream: TextIO) -> int:
    """How wide the terminal is now: a line that is wrapped cannot be redrawn."""
    return os.get_terminal_size(stream.fileno()).columns or 80
