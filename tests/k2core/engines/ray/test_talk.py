"""Engines that die, or stand still, in the middle of dialogues: every turn arrives, and once."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import ray

from k2core.engines.protocol import Arrival, Ask, Decoding
from k2core.engines.ray.actors import ActorGroup, python_path
from k2core.engines.ray.mail import MAIL, TalkingActor
from k2core.engines.ray.talk import ServedTalk
from k2core.engines.scripted import ScriptedEngine, ScriptedStepper

pytestmark = pytest.mark.slow

TURNS = 3
SIDES = 2


class Slow(ScriptedStepper):
    """A token takes a while, so that there is a middle."""

    def step(self) -> list[Arrival]:
        time.sleep(0.02)
        return super().step()


class Scripted(TalkingActor):
    """Says as many sevens as the prompt's first token says."""

    def which(self) -> int:
        return os.getpid()

    def open_stepper(self, *, halts: bool) -> Slow:
        return Slow(ScriptedEngine(lambda prompt, _: [7] * prompt[0]))

    def count_slots(self) -> int:
        return 4


class Group(ActorGroup):
    """Scripted engines that are replaced."""

    def __init__(self) -> None:
        self.lost: list[Exception] = []
        super().__init__(SIDES, lambda: [self._start() for _ in range(SIDES)], "which")

    def _start(self) -> "ray.actor.ActorHandle":
        options = {"num_cpus": 1, "runtime_env": {"env_vars": {"PYTHONPATH": python_path()}}}
        return ray.remote(concurrency_groups=MAIL)(Scripted).options(**options).remote()

    def replace(self, place: int, error: Exception) -> None:
        self.lost.append(error)
        ray.kill(self._actors[place])
        started = self._start()
        ray.get(started.which.remote())
        self._actors = (*self._actors[:place], started, *self._actors[place + 1 :])


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    with Group() as group:
        yield group


def first(place: int) -> Ask:
    return Ask(place, [3 + place % 5], Decoding(max_tokens=99))


def play(talk: ServedTalk, harm: Callable[[int], None]) -> list[tuple[int, int]]:
    """Dialogue and tokens of each arrival; `harm` is told how many there were."""
    turns, seen = dict.fromkeys(range(12), 1), list[tuple[int, int]]()
    for arrival in talk:
        seen.append((arrival.place, len(arrival.completion.token_ids)))
        harm(len(seen))
        turns[arrival.place] += 1
        again = turns[arrival.place] <= TURNS
        following = first(arrival.place)._replace(turn=turns[arrival.place])
        threading.Timer(0.01, talk.reply, (arrival.place, following if again else None)).start()
    return seen


WHOLE = sorted((place, 3 + place % 5) for place in range(12) for _ in range(TURNS))


def parts() -> list[list[Ask]]:
    return [[first(place) for place in range(side, 12, SIDES)] for side in range(SIDES)]


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_and_a_stopped_engine_are_replaced(
    group: Group, kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k2core.engines.ray.talk._PULSE_S", 5.0)
    group.lost.clear()
    (victim, _) = group.ask_all("which")

    def harm(arrived: int) -> None:
        if arrived == 9:
            os.kill(victim, kind)

    assert sorted(play(ServedTalk(group, parts()), harm)) == WHOLE
    assert len(group.lost) == 1
    assert sorted(play(ServedTalk(group, parts()), lambda _: None)) == WHOLE


def test_engines_that_are_left_are_free_for_the_next(group: Group) -> None:
    """The driver fails in the middle; nobody replies any more."""

    def fail(arrived: int) -> None:
        if arrived == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(ServedTalk(group, parts()), fail)
    assert sorted(play(ServedTalk(group, parts()), lambda _: None)) == WHOLE
