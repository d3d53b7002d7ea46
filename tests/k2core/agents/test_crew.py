"""Work that hangs is given up after its time, and keeps nobody else from working."""

import threading
import time

import pytest

from k2core.agents.crew import ThreadCrew


def _hang(begun: threading.Event, gate: threading.Event) -> None:
    begun.set()
    gate.wait()


def test_what_hangs_is_given_up_once_and_the_rest_goes_on() -> None:
    begun, gate, told = threading.Event(), threading.Event(), list[str]()

    def give_up(error: Exception) -> None:
        told.append(str(error))

    with ThreadCrew(1, limit_s=0.2) as crew:  # one at a time: the hanging one would block the other
        crew.send(lambda: _hang(begun, gate), lambda: told.append("too late"), give_up)
        assert begun.wait(60)
        crew.send(lambda: None, lambda: told.append("done"), give_up)
        crew.wait()
        gate.set()
        time.sleep(0.05)
    assert told == ["no answer within 0.2 s", "done"]


def test_what_fails_is_raised_when_all_is_done() -> None:
    told = list[str]()

    def fail() -> None:
        raise ValueError("broken")

    with ThreadCrew(4, limit_s=9) as crew:
        for work in (fail, lambda: None):
            crew.send(work, lambda: told.append("then"), lambda error: None)
        with pytest.raises(ValueError, match="broken"):
            crew.wait()
    assert told == ["then", "then"]
