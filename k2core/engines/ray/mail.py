"""What an engine's process hears while it holds a conversation."""

from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import NamedTuple

import ray

from k2core.engines.conversation import Conversation, Reply, Stepper
from k2core.engines.protocol import Arrival, Ask, Usage

MAIL = {"mail": 1}
"""Ray's concurrency group of what is heard: a thread beside the engine's."""


class Pulse(NamedTuple):
    """Whether an engine moves."""

    steps: int
    is_waiting: bool
    """For a reply."""


class TalkingActor:
    """A Ray actor, started with the concurrency groups `MAIL`, whose engine holds conversations."""

    def __init__(self) -> None:
        self._talk: Conversation | None = None
        self._inboxes: dict[int, SimpleQueue[Reply | None]] = {}
        """Of talks, by their numbers; a reply may come before its talk is held."""

    def open_stepper(self, *, halts: bool) -> Stepper:
        """The engine, which nobody else uses meanwhile; and whether it may be halted."""
        raise NotImplementedError

    def count_slots(self) -> int:
        """Sequences that it has in flight together."""
        raise NotImplementedError

    def hold_talk(
        self, number: int, first: Sequence[Ask], most_tokens: int | None, expected: Sequence[int]
    ) -> Iterator[list[Arrival] | Usage]:
        """Turns as they arrive, and at the end the usage; `reply` says what follows each.

        Args:
            number: of the talk.
            first: turns to begin with.
            most_tokens: halt when so many were made.
            expected: other dialogues whose replies are still to come.
        """
        inbox = self._inboxes.setdefault(number, SimpleQueue())
        stepper, slots = self.open_stepper(halts=most_tokens is not None), self.count_slots()
        self._talk = Conversation(stepper, first, slots, most_tokens, inbox, expected)
        try:
            together: list[Arrival] = []  # of a step: a message of Ray's costs as much as a token
            for arrival in self._talk:
                together.append(arrival)
                if not self._talk.has_more:
                    yield together
                    together = []
            yield self._talk.usage
        finally:
            self._inboxes.pop(number, None)
            self._talk = None  # it holds the engine, which another may follow in this process

    @ray.method(concurrency_group="mail")
    def reply(self, number: int, place: int, ask: Ask | None) -> None:
        """What follows an arrival of a talk, while it is held."""
        self._inboxes.setdefault(number, SimpleQueue()).put(Reply(place, ask))

    @ray.method(concurrency_group="mail")
    def leave(self, number: int) -> None:
        """Nobody listens to a talk any more."""
        self._inboxes.setdefault(number, SimpleQueue()).put(None)

    @ray.method(concurrency_group="mail")
    def pulse(self) -> Pulse:
        """How far the talk is that is held."""
        talk = self._talk
        return Pulse(talk.usage.steps, talk.is_waiting) if talk else Pulse(0, is_waiting=False)
