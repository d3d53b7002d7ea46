"""A stage's reporter stays in the stage's process; rank 0 speaks to it over a socket."""

import pickle
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from k2core.reporting import Reporter, Turn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SOCKET = "desk"


class Desk:
    """Hands what rank 0 says to the reporter, and the reporter's errors back to it."""

    def __init__(self, folder: Path, report: Reporter) -> None:
        self._report = report
        self._listener = Listener(str(folder / _SOCKET), "AF_UNIX")
        self._thread = threading.Thread(target=self._serve, name="desk", daemon=True)
        self._path = folder / _SOCKET

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with suppress(OSError), Client(str(self._path), "AF_UNIX") as line:  # if nobody came
            line.send(None)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(EOFError, OSError), self._listener.accept() as line:
            while said := line.recv():
                name, arguments = said
                line.send(self._answer(name, arguments))

    def _answer(self, name: str, arguments: tuple[object, ...]) -> Exception | None:
        """The error that the stage's loop is to end with, if there is one."""
        try:
            getattr(self._report, name)(*arguments)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:  # it is of a kind that cannot travel
                return RuntimeError(f"{type(error).__name__}: {error}")
            return error
        return None


class Line:
    """The reporter of rank 0: what it is told, the stage's process says."""

    def __init__(self, folder: Path) -> None:
        self._line = Client(str(folder / _SOCKET), "AF_UNIX")
        self._lock = threading.Lock()

    def progress(self, done: float, total: float, note: str = "") -> None:
        """As `Reporter.progress`."""
        self._tell("progress", done, total, note)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """As `Reporter.metrics`."""
        self._tell("metrics", step, values)

    def plot(self, title: str, figure: "Figure") -> None:
        """As `Reporter.plot`."""
        self._tell("plot", title, figure)

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        """As `Reporter.table`."""
        self._tell("table", title, rows)

    def dialogue(self, title: str, turns: Sequence[Turn]) -> None:
        """As `Reporter.dialogue`."""
        self._tell("dialogue", title, turns)

    def _tell(self, name: str, *arguments: object) -> None:
        with self._lock:
            self._line.send((name, arguments))
            error = self._line.recv()
        if error is not None:
            raise error
