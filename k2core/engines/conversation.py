"""Continuous batching: the turns of many dialogues over one engine, without a barrier between them.

A turn takes a slot as soon as one is free, and its dialogue's next turn may enter `_LAG` engine
steps after it ended. Time counts in steps, not seconds: the engine waits for a reply that is due.
So equal dialogues are batched alike, and their figures are equal to the bit, however fast tools and
threads are. It waits `_PATIENCE_S` seconds in all; replies that come later enter when they come,
are counted, and only the sampling's seeds make runs alike then.

Nothing is waited for for ever: neither a reply, nor a token.
"""

import heapq
import time
from collections.abc import Collection, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from k2core.engines.protocol import Arrival, Ask, Completion, StalledError, Usage

_LAG = 4
"""Steps that a tool and the way to it and back usually take."""
_PATIENCE_S = 30.0
_REPLY_S = 1800.0
"""The longest that it stands still: those who reply give up on a tool long before."""
_TOKEN_S = 14_400.0
"""The longest that an engine steps without a token, or a turn where it tells no tokens before."""


class Stepper(Protocol):
    """An engine, a token of each of its sequences at a time."""

    def add(self, ask: Ask) -> None:
        """Begin a sequence."""

    def step(self) -> list[Arrival]:
        """One token of each; returns the sequences that ended with it."""

    def count(self) -> int:
        """Tokens made so far."""

    def halt(self) -> list[Arrival]:
        """Drop all sequences; returns what was written of each, as `paused`."""


class Reply(NamedTuple):
    """What follows an arrival."""

    place: int
    ask: Ask | None


class Conversation:
    """A `k2core.engines.protocol.Talk` with one engine.

    Args:
        stepper: the engine; nobody else uses it meanwhile.
        first: the first turns.
        slots: sequences in flight together.
        most_tokens: halt when so many were made.
        inbox: where replies come in; None says that nobody listens any more.
        expected: dialogues whose reply is still to come, besides those of `first`.
    """

    def __init__(
        self,
        stepper: Stepper,
        first: Sequence[Ask],
        slots: int,
        most_tokens: int | None = None,
        inbox: "SimpleQueue[Reply | None] | None" = None,
        expected: Collection[int] = (),
    ) -> None:
        self._stepper, self._most_tokens = stepper, most_tokens
        self._slots = min(slots, len(first) + len(expected))
        self._inbox: SimpleQueue[Reply | None] = SimpleQueue() if inbox is None else inbox
        self._waiting = [_rank(ask) for ask in first]
        heapq.heapify(self._waiting)
        self._due: dict[int, int] = dict.fromkeys(expected, _LAG)
        """Dialogue -> the step at which its reply may enter."""
        self._early: dict[int, Ask | None] = {}
        self._late = set[int]()
        self._running = self._step = 0
        self._patience = _PATIENCE_S
        self._usage = Usage()
        self._last = 0.0
        """When the last step ended, and later by what the engine has stood still since."""
        self._barren_s = 0.0
        """Of steps since the last token."""
        self.left = self.is_waiting = self.has_more = False
        """Whether nobody listens any more; whether it stands still for a reply; whether more
        arrivals are there already."""

    @property
    def usage(self) -> Usage:
        """So far."""
        return self._usage._replace(tokens=self._stepper.count())

    def reply(self, place: int, ask: Ask | None) -> None:
        """From any thread."""
        self._inbox.put(Reply(place, ask))

    def __iter__(self) -> Iterator[Arrival]:
        """Each turn when it is finished."""
        begun = self._last = time.perf_counter()
        try:
            while self._has_capacity():
                self._take_replies()
                while self._waiting and self._running < self._slots and not self.left:
                    self._stepper.add(heapq.heappop(self._waiting).ask)
                    self._running += 1
                if self.left or not (self._running or self._due):
                    break
                if self._running:
                    yield from self._advance()
                else:
                    self._step = max(self._step, min(self._due.values()))
            seconds = time.perf_counter() - begun
            self._usage = self._usage._replace(slot_s=self._slots * seconds, seconds=seconds)
            if not self.left:
                yield from self._halt()
        finally:  # whoever listened is gone, or it is over
            self._stepper.halt()

    def _has_capacity(self) -> bool:
        return self._most_tokens is None or self._stepper.count() < self._most_tokens

    def _advance(self) -> Iterator[Arrival]:
        """One step of the engine."""
        started, busy, tokens = time.perf_counter(), self._running, self._stepper.count()
        arrivals = self._stepper.step()
        self._step += 1
        now, usage = time.perf_counter(), self._usage
        spent, lasted, self._last = now - started, now - self._last, now
        self._usage = usage._replace(busy_s=usage.busy_s + busy * lasted, steps=usage.steps + 1)
        self._barren_s = 0.0 if self._stepper.count() > tokens else self._barren_s + spent
        if self._barren_s > _TOKEN_S:
            raise StalledError(f"the engine made no token within {_TOKEN_S:g} s of steps")
        for arrival in arrivals:
            self._due[arrival.place] = self._step + _LAG
            self._running -= 1
        yield from self._hand_over(arrivals)

    def _hand_over(self, arrivals: Sequence[Arrival]) -> Iterator[Arrival]:
        for number, arrival in enumerate(arrivals, 1):
            self.has_more = number < len(arrivals)
            yield arrival

    def _take_replies(self) -> None:
        """Enter what is due, in the order of places; wait for it while there is patience."""
        self._read_inbox(0.0)
        due = sorted(place for place, step in self._due.items() if step <= self._step)
        self._wait_for(due)
        for place in due:
            if place not in self._early:
                self._late.add(place)
                continue
            del self._due[place]
            ask = self._early.pop(place)
            if place in self._late:
                self._late.remove(place)
                self._usage = self._usage._replace(late=self._usage.late + 1)
            if ask is not None:
                heapq.heappush(self._waiting, _rank(ask))

    def _wait_for(self, due: Sequence[int]) -> None:
        idle = not self._running and not self._waiting
        while self._misses(due) and not self.left and (idle or self._patience > 0):
            started = time.perf_counter()
            self._read_inbox(self._patience if self._patience > 0 else _REPLY_S)
            waited = time.perf_counter() - started
            self._patience -= waited
            self._last += waited
            self._usage = self._usage._replace(waited_s=self._usage.waited_s + waited)
            if self._patience <= 0 and any(place in self._early for place in due):
                break
            if waited >= _REPLY_S:
                self._give_up(due)

    def _misses(self, due: Sequence[int]) -> bool:
        return any(place not in self._early for place in due)

    def _give_up(self, due: Sequence[int]) -> None:
        silent = ", ".join(str(place) for place in due if place not in self._early)
        raise StalledError(f"no reply to dialogues {silent} within {_REPLY_S:g} s")

    def _read_inbox(self, wait_s: float) -> None:
        """All that has come; at least one reply where it is to wait."""
        self.is_waiting = wait_s > 0
        try:
            while True:
                found = self._inbox.get(block=wait_s > 0, timeout=wait_s or None)
                if found is None:
                    self.left = True
                else:
                    self._early[found.place] = found.ask
                wait_s = 0.0
        except Empty:
            return
        finally:
            self.is_waiting = False

    def _halt(self) -> Iterator[Arrival]:
        """What is unfinished, as it is."""
        yield from self._hand_over(self._stepper.halt())
        yield from self._hand_over([_paused(ranked.ask.place) for ranked in self._waiting])
        due = sorted(self._due)
        while self._misses(due) and not self.left:
            started = time.perf_counter()
            self._read_inbox(_REPLY_S)
            if time.perf_counter() - started >= _REPLY_S:
                self._give_up(due)
        yield from self._hand_over([_paused(place) for place in due if self._early.get(place)])


class _Ranked(NamedTuple):
    """Dialogues that have begun first, then those that may become long, then by number."""

    turn: int
    length: int
    place: int
    ask: Ask


def _rank(ask: Ask) -> _Ranked:
    return _Ranked(-ask.turn, -ask.expected.most, ask.place, ask)


def _paused(place: int) -> Arrival:
    return Arrival(place, Completion([], [], "paused"))
