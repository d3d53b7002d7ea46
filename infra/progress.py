"""The live line of each running stage: redrawn on a terminal, one line now and then elsewhere."""

import sys
import threading
import time
from typing import TextIO


def format_seconds(seconds: float) -> str:
    """`7.3s`, `2m05s` or `1h02m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


class ProgressLine:
    """One stage's line: name, bar, share, elapsed and remaining time, note. Thread-safe."""

    _lock = threading.Lock()

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self.name = name
        self._stream = stream or sys.stderr
        self._started = self._shown = time.monotonic()
        self._live = self._stream.isatty()

    def update(self, done: float, total: float, note: str = "") -> None:
        """Redraw at most every 0.1 s on a terminal, and every 15 s elsewhere."""
        now = time.monotonic()
        if now - self._shown < (0.1 if self._live else 15.0):
            return
        self._shown = now
        frac = min(1.0, max(0.0, done / total)) if total else 0.0
        elapsed = now - self._started
        left = f" left {format_seconds(elapsed * (1 / frac - 1))}" if frac > 0.02 else ""
        filled = round(frac * 20)
        bar = "━" * filled + "─" * (20 - filled)
        self._write(f"{bar} {frac:4.0%} {format_seconds(elapsed)}{left}  {note}", final=False)

    def finish(self, note: str) -> None:
        """Leave the last line in place."""
        elapsed = format_seconds(time.monotonic() - self._started)
        self._write(f"done in {elapsed}  {note}", final=True)

    def _write(self, text: str, *, final: bool) -> None:
        line = f"  {self.name:<11}{text}"
        with self._lock:
            if self._live:
                self._stream.write(f"\r\x1b[K{line[:180]}" + ("\n" if final else ""))
            else:
                self._stream.write(line + "\n")
            self._stream.flush()
