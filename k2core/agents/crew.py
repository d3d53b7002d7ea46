"""Work that may hang, side by side: what takes too long is given up, and holds nobody up."""

import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

Work = Callable[[], None]
GiveUp = Callable[[Exception], None]
_LOOK_S = 1.0


class ThreadCrew:
    """A daemon thread for each piece of work: one of a pool would keep the program from ending.

    Args:
        at_a_time: pieces that are worked on together; others wait for one of them.
        limit_s: seconds after which a piece that was begun is given up.
    """

    def __init__(self, at_a_time: int, limit_s: float) -> None:
        self.seconds = 0.0
        """That all pieces took together."""
        self._limit_s = limit_s
        self._room = threading.Semaphore(at_a_time)
        self._changed = threading.Condition()
        self._open = set[_Piece]()
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="crew", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._ended.set()

    def send(self, work: Work, then: Work, give_up: GiveUp) -> None:
        """Begin.

        Args:
            work: what may hang; where it raises, `wait` raises that.
            then: follows the work, whether it raised or not.
            give_up: follows in place of it where the work takes too long; never both.
        """
        piece = _Piece(work, then, give_up)
        with self._changed:
            self._open.add(piece)
        threading.Thread(target=self._do, args=(piece,), name="crew", daemon=True).start()

    def wait(self) -> None:
        """Until all is done, or given up.

        Raises:
            Exception: what the first piece that failed raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._open)
        if self._error:
            raise self._error

    def _do(self, piece: "_Piece") -> None:
        self._room.acquire()
        piece.begun = time.monotonic()
        try:
            piece.work()
        except Exception as error:
            self._error = self._error or error
        self._settle(piece, piece.then)

    def _settle(self, piece: "_Piece", follow: Work) -> None:
        """Whoever comes first, the work's end or the watch."""
        with self._changed:
            if piece.settled:
                return
            piece.settled = True
            self.seconds += time.monotonic() - piece.begun
        self._room.release()  # a thread that was given up may never do it
        try:
            follow()
        finally:
            with self._changed:
                self._open.discard(piece)
                self._changed.notify_all()

    def _watch(self) -> None:
        while not self._ended.wait(min(_LOOK_S, self._limit_s / 4)):
            now = time.monotonic()
            with self._changed:
                late = [p for p in self._open if p.begun and now - p.begun > self._limit_s]
            for piece in late:
                error = TimeoutError(f"no answer within {self._limit_s:g} s")
                self._settle(piece, partial(piece.give_up, error))


class _Piece:
    """Of work."""

    def __init__(self, work: Work, then: Work, give_up: GiveUp) -> None:
        self.work, self.then, self.give_up = work, then, give_up
        self.begun = 0.0
        self.settled = False
