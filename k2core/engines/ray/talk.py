"""A conversation with several engines in Ray actors, merged into one."""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

import ray

from k2core.engines.protocol import Arrival, Ask, StalledError, Usage

if TYPE_CHECKING:
    from ray import ObjectRefGenerator
    from ray.actor import ActorHandle

_PULSE_S = 120.0
"""Silence after which an engine is asked whether it moves; it has as long to answer."""
_numbers = itertools.count()


class Engines(Protocol):
    """What the conversation asks of whoever holds the actors."""

    @property
    def actors(self) -> "tuple[ActorHandle, ...]":
        """The engines as they are now."""

    def replace(self, place: int, error: Exception) -> None:
        """Start another in place of one that died, with the weights that it served.

        Raises:
            EngineLostError: too many died, or none can be started.
        """


class ServedTalk:
    """A `k2core.engines.protocol.Talk`: each dialogue stays with its engine.

    Where an engine dies, breaks or stands still, another takes its place and is asked for the turns
    that had not arrived: their seeds are the same, and none is counted twice.

    Args:
        engines: who holds the actors.
        parts: the first turns, an engine each.
        most_tokens: halt when so many were made, an engine.
    """

    def __init__(
        self, engines: Engines, parts: Sequence[Sequence[Ask]], most_tokens: int | None = None
    ) -> None:
        self._engines, self._most_tokens = engines, most_tokens
        self._number = next(_numbers)
        self._items: SimpleQueue[Arrival | Usage | Exception] = SimpleQueue()
        self._lock = threading.Lock()
        self._of = {ask.place: number for number, part in enumerate(parts) for ask in part}
        self._pending = [{ask.place: ask for ask in part} for part in parts]
        """Of each engine: turns that were asked for and have not arrived."""
        self._expected: list[set[int]] = [set() for _ in parts]
        """Dialogues that have arrived and were not replied to."""
        self._arrived = [0 for _ in parts]
        """Tokens of each engine's turns."""
        self._heard = list(engines.actors)
        """Whom each listens to; one that died gets replies, too, until another has all of them."""
        self._usages: list[Usage] = []
        self._ended = set[int]()
        """Engines that have said all."""

    @property
    def usage(self) -> Usage:
        """Of all engines that lived to the end."""
        return Usage.side_by_side(self._usages)

    def reply(self, place: int, ask: Ask | None) -> None:
        """From any thread."""
        number = self._of[place]
        with self._lock:
            self._expected[number].discard(place)
            if ask is not None:
                self._pending[number][place] = ask
            self._heard[number].reply.remote(self._number, place, ask)

    def __iter__(self) -> Iterator[Arrival]:
        """Each turn when it is finished."""
        used = [number for number, part in enumerate(self._pending) if part]
        for number in used:
            threading.Thread(target=self._listen, args=(number,), daemon=True).start()
        try:
            while len(self._usages) < len(used):
                item = self._items.get()
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, Usage):
                    self._usages.append(item)
                else:
                    yield item
        finally:
            if len(self._usages) < len(used):
                self._leave(used)

    def _leave(self, used: Sequence[int]) -> None:
        """Nobody listens any more: engines that go on would never be free again."""
        with self._lock, contextlib.suppress(ray.exceptions.RayError):
            for number in used:
                self._heard[number].leave.remote(self._number)

    def _listen(self, number: int) -> None:
        """Pass on what an engine says, and what another says after its death."""
        try:
            while not self._hear_out(number):
                pass
        except Exception as error:
            self._items.put(error)

    def _hear_out(self, number: int) -> bool:
        """Whether it spoke to the end; if not, another has taken its place."""
        try:
            self._hear(number)
        except (ray.exceptions.RayError, StalledError) as error:
            if number in self._ended:  # and was closed, before its stream was
                return True
            self._engines.replace(number, error)
            return False
        return True

    def _hear(self, number: int) -> None:
        with self._lock:
            asks = list(self._pending[number].values())
            expected = sorted(self._expected[number])
            actor = self._heard[number] = self._engines.actors[number]
            most = self._most_tokens
            heard: ObjectRefGenerator = actor.hold_talk.options(num_returns="streaming").remote(
                self._number, asks, most and max(1, most - self._arrived[number]), expected
            )
        for item in _listen_to(actor, heard):
            if isinstance(item, Usage):
                self._ended.add(number)
                self._items.put(item)
                continue
            with self._lock:
                for place, completion in item:
                    self._arrived[number] += len(completion.token_ids)
                    self._pending[number].pop(place, None)
                    if completion.finish_reason != "paused":
                        self._expected[number].add(place)
            for arrival in item:
                self._items.put(arrival)


def _listen_to(
    actor: "ActorHandle", heard: "ObjectRefGenerator"
) -> "Iterator[list[Arrival] | Usage]":
    """What comes of a stream, as long as the engine moves.

    Raises:
        StalledError: it stands still, and waits for nobody.
    """
    seen = -1
    while True:
        ready, _ = ray.wait([heard], num_returns=1, timeout=_PULSE_S, fetch_local=False)
        if ready:
            try:
                answer = next(heard)
            except StopIteration:
                return
            item: list[Arrival] | Usage = ray.get(answer, timeout=_PULSE_S)
            yield item
            continue
        pulse = ray.get(actor.pulse.remote(), timeout=_PULSE_S)
        if pulse.steps == seen and not pulse.is_waiting:
            raise StalledError(f"the engine made no step within {_PULSE_S:g} s")
        seen = pulse.steps
