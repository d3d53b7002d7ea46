"""What is to be recorded, sent in order by a thread of its own while the work goes on.

A tracking server that is away, killed or restarted holds up nobody who computes: what was said is
sent when it answers again.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infra.faults import is_away
from infra.home import tracking_place
from infra.runs import TrackingAwayError

PATIENCE = 1800.0
"""Seconds that finished work waits for a server to be recorded on."""
SHORTLY = 5.0
"""Seconds within which a server answers that is not known to be away."""
_PAUSE = 2.0

Call = Callable[[], object]


class Outbox:
    """Calls of the tracking client, one after another; each is made again while nobody answers."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Call | None] = queue.Queue()
        self._change = threading.Condition()
        self._num_waiting = 0
        self._fault: Exception | None = None
        self.away = False
        """Whether the server is known not to answer."""
        threading.Thread(target=self._send_all, daemon=True, name="outbox").start()

    def post(self, call: Call) -> None:
        """Make a call when those before it are made.

        Raises:
            Exception: what an earlier call failed with, other than for a server that is away.
        """
        with self._change:
            if self._fault is not None:
                raise self._fault
            self._num_waiting += 1
        self._calls.put(call)

    def settle(self, patience: float = SHORTLY) -> bool:
        """Wait until all calls are made, for so long at most, and for no server that is away.

        Returns:
            Whether they are made; if not they will be.

        Raises:
            Exception: what a call failed with.
        """
        return self._wait(patience, or_away=True)

    def drain(self, patience: float = PATIENCE) -> None:
        """Wait until all calls are made.

        Raises:
            TrackingAwayError: the server did not answer for so many seconds.
            Exception: what a call failed with.
        """
        if not self._wait(patience, or_away=False):
            raise TrackingAwayError(
                f"MLflow did not answer at {tracking_place()} for {patience:.0f} seconds: start it "
                "and run the same command again"
            )

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all calls are made; there will be no others. Errors as of `drain`."""
        self._calls.put(None)
        self.drain(patience)

    def _wait(self, patience: float, *, or_away: bool) -> bool:
        with self._change:
            self._change.wait_for(
                lambda: self._fault or not self._num_waiting or (or_away and self.away), patience
            )
            if self._fault is not None:
                raise self._fault
            return not self._num_waiting

    def _send_all(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._send(call)
            except Exception as error:
                with self._change:
                    self._fault = error
                    self._change.notify_all()
                return
            with self._change:
                self._num_waiting -= 1
                self._change.notify_all()

    def _send(self, call: Call) -> None:
        while True:
            try:
                call()
            except Exception as error:
                if not is_away(error):
                    raise
                self._note_away(is_away=True)
                time.sleep(_PAUSE)
            else:
                self._note_away(is_away=False)
                return

    def _note_away(self, *, is_away: bool) -> None:
        if is_away == self.away:
            return
        if is_away:
            _say(f"MLflow does not answer at {tracking_place()}: the work goes on")
        else:
            _say("MLflow answers again")
        with self._change:
            self.away = is_away
            self._change.notify_all()


_HELD: dict[str, Outbox] = {}
"""Of the pipelines that this process drives, by their Flyte runs' names."""


@contextmanager
def held_outbox(flyte_run: str) -> Iterator[Outbox]:
    """One for a pipeline and all stages of it in this process; its holder closes it."""
    box = _HELD[flyte_run] = Outbox()
    try:
        yield box
    finally:
        del _HELD[flyte_run]


def find_outbox(flyte_run: str) -> Outbox | None:
    """That of the pipeline, if this process drives it."""
    return _HELD.get(flyte_run)


def post_for(flyte_run: str, call: Call) -> None:
    """Make a call after those that a run posted: without waiting where a pipeline does, in the end.

    Raises:
        TrackingAwayError: there is no pipeline in this process, and the server stays away.
    """
    held = find_outbox(flyte_run)
    box = held or Outbox()
    box.post(call)
    if held:
        box.settle()
    else:
        box.close()


def _say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)
