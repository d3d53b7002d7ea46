"""Wall time by part of an iteration."""

import time


class Clock:
    """Laps since the last one, added up by name.

    Never part of an artifact: equal inputs give equal bytes.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self._seconds[part] = self._seconds.get(part, 0.0) + now - self._last
        self._last = now

    def curves(self) -> dict[str, float]:
        """Seconds by part, for the reporter."""
        return {f"seconds/{part}": seconds for part, seconds in self._seconds.items()}
