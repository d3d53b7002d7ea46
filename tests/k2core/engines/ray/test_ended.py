"""An engine that has said all may be closed: nobody is started in its place."""

import threading
from collections.abc import Iterator
from typing import cast

import pytest
import ray
from ray.actor import ActorHandle

from k2core.engines.protocol import Arrival, Ask, Completion, Decoding, Usage
from k2core.engines.ray import talk

ARRIVAL = Arrival(0, Completion([7], [-0.5], "stop"))


class Engine:
    """As much of an actor's handle as is asked of it."""

    @property
    def hold_talk(self) -> "Engine":
        return self

    def options(self, **_: str) -> "Engine":
        return self

    def remote(self, *_: object) -> object:
        return object()


class Group:
    def __init__(self) -> None:
        self.actors = (cast("ActorHandle", Engine()),)
        self.lost: list[Exception] = []

    def replace(self, place: int, error: Exception) -> None:
        self.lost.append(error)


@pytest.mark.parametrize(("said", "lost"), [(0, 1), (1, 1), (2, 0)])
def test_who_is_closed_after_all_was_said_is_not_replaced(
    said: int, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = list[int]()

    def listen_to(*_: object) -> Iterator[list[Arrival] | Usage]:
        tries.append(1)
        items: list[list[Arrival] | Usage] = [[ARRIVAL], Usage(tokens=1)]
        yield from items[: said if len(tries) == 1 else 2]
        if len(tries) == 1:
            raise ray.exceptions.RayActorError

    monkeypatch.setattr(talk, "_listen_to", listen_to)
    group = Group()
    held = talk.ServedTalk(group, [[Ask(0, [1], Decoding())]])
    assert ARRIVAL in list(held)
    for listener in threading.enumerate():
        if "_listen" in listener.name:
            listener.join()
    assert len(group.lost) == lost
    assert held.usage.tokens == 1
