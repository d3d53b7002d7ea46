"""A stage's work runs in a thread, which no signal reaches: what dies of a Ctrl-C tells it."""

import subprocess
import threading
from types import TracebackType
from typing import Self


class Canary:
    """A process in the terminal's foreground, for as long as others work in the background."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def check(self) -> None:
        """Look whether it lives.

        Raises:
            KeyboardInterrupt: it does not, or the main thread has ended.
        """
        if self._process.poll() is not None or not threading.main_thread().is_alive():
            raise KeyboardInterrupt
