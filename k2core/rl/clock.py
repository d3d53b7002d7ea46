"""Wall time by part of an iteration."""

import time
from collections.abc import Iterable

from k2core.engines.protocol import Usage


class Clock:
    """Laps since the last one, added up by name.

    Never part of an artifact: equal inputs give equal bytes.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()
        self._usage = Usage()

    def count(self, usages: Iterable[Usage]) -> None:
        """Book what rollouts took of the engines."""
        for usage in usages:
            self._usage = self._usage.then(usage)

    def join(self, other: "Clock") -> None:
        """Book what went on beside it."""
        for part, seconds in other._seconds.items():
            self._seconds[part] = self._seconds.get(part, 0.0) + seconds
        self._usage = self._usage.then(other._usage)

    def lap(self, part: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self._seconds[part] = self._seconds.get(part, 0.0) + now - self._last
        self._last = now

    def curves(self) -> dict[str, float]:
        """Seconds by part, and how well the engines were used, for the reporter.

        `rollout` is the wall time of sampling; `tools`, the environments' seconds side by side, and
        `wait`, in which an engine stood still for them, are parts of it.
        """
        curves = {f"seconds/{part}": seconds for part, seconds in self._seconds.items()}
        used = self._usage
        if used.slot_s:
            curves |= {
                "seconds/tools": used.tools_s,
                "seconds/wait": used.waited_s,
                "engine/slot_use": used.slot_use,
                "engine/tokens_per_s": used.tokens / used.seconds,
                "engine/late_turns": float(used.late),
            }
        return curves
