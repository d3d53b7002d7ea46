"""A stage's reporter stays in the stage's process; rank 0 speaks to it from afar."""

import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from k2core.reporting import Reporter, Turn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SOCKET = "desk"


class Said(NamedTuple):
    """A call of a reporter's method."""

    name: str
    arguments: tuple[object, ...]


def pass_on(said: Said, report: Reporter) -> Exception | None:
    """Tell the reporter; the error that the stage's loop is to end with, if there is one."""
    try:
        getattr(report, said.name)(*said.arguments)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it is of a kind that cannot travel
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
    return None


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
                line.send(pass_on(Said(*said), self._report))


class DeskReporter:
    """The reporter of rank 0: what it is told, the stage's process says.

    Args:
        ask: brings a call there; answers with the error that it ended with.
    """

    def __init__(self, ask: Callable[[Said], Exception | None]) -> None:
        self._ask, self._lock = ask, threading.Lock()

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
            error = self._ask(Said(name, arguments))
        if error is not None:
            raise error


def open_line(folder: Path) -> DeskReporter:
    """To the desk of this folder."""
    socket = Client(str(folder / _SOCKET), "AF_UNIX")

    def ask(said: Said) -> Exception | None:
        socket.send(tuple(said))
        error: Exception | None = socket.recv()
        return error

    return DeskReporter(ask)
