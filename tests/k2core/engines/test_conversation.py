"""Continuous batching by a scripted engine: order, exactness, halts and slow tools."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import pytest

from k2core.engines.conversation import Conversation, Reply
from k2core.engines.deal import deal_dialogues
from k2core.engines.protocol import (
    Arrival,
    Ask,
    Completion,
    Decoding,
    Forecast,
    StalledError,
    Usage,
)


class Lengths:
    """A stepper whose sequences are as long as their prompt's first token says."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        """Dialogues of each step."""
        self._left: dict[int, int] = {}
        self._written: dict[int, list[int]] = {}

    def add(self, ask: Ask) -> None:
        self._left[ask.place] = ask.prompt[0]
        self._written[ask.place] = []

    def step(self) -> list[Arrival]:
        self.batches.append(sorted(self._left))
        for place in self._left:
            self._left[place] -= 1
            self._written[place].append(7)
        ended = [place for place, left in self._left.items() if not left]
        return [self._arrive(place, "stop") for place in sorted(ended)]

    def count(self) -> int:
        return sum(map(len, self.batches))

    def halt(self) -> list[Arrival]:
        return [self._arrive(place, "paused") for place in sorted(self._left)]

    def _arrive(self, place: int, reason: str) -> Arrival:
        del self._left[place]
        ids = self._written.pop(place)
        return Arrival(place, Completion(ids, [0.0] * len(ids), reason))


def ask(place: int, length: int, turn: int = 0, budget: int = 9) -> Ask:
    return Ask(place, [length], Decoding(max_tokens=budget), turn)


def talk_through(talk: Conversation, turns: dict[int, list[int]], tool: Callable[[], None]) -> int:
    """Play dialogues whose further turns have these lengths, each reply from a thread."""
    arrivals = 0
    threads = []
    for arrival in talk:
        arrivals += 1

        def reply(place: int = arrival.place) -> None:
            tool()
            left = turns[place]
            talk.reply(place, ask(place, left.pop(0), 1) if left else None)

        threads.append(threading.Thread(target=reply))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return arrivals


TURNS = {0: [2, 3], 1: [], 2: [5], 3: [1, 1, 1]}


def run(slots: int, tool: Callable[[], None]) -> Lengths:
    stepper = Lengths()
    first = [ask(0, 1), ask(1, 8), ask(2, 2), ask(3, 1)]
    talk = Conversation(stepper, first, slots)
    turns = {place: list(lengths) for place, lengths in TURNS.items()}
    assert talk_through(talk, turns, tool) == 4 + 6
    assert talk.usage.tokens == stepper.count() == 12 + 13
    assert talk.usage.late == 0
    assert 0 <= talk.usage.busy_s <= talk.usage.slot_s
    assert talk.usage.steps == len(stepper.batches)
    return stepper


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_equal_dialogues_are_batched_alike_whatever_tools_take(slots: int) -> None:
    """Tools of 0 and of 10 ms: the same sequences share each of the engine's steps."""
    quick, slow = run(slots, lambda: None), run(slots, lambda: time.sleep(0.01))
    assert quick.batches == slow.batches
    assert max(map(len, quick.batches)) == slots


def test_a_long_turn_holds_up_nobody() -> None:
    """Dialogue 3 has four turns while dialogue 1 writes its only one."""
    alone = run(4, lambda: None).batches
    assert [1, 3] in alone or [0, 1, 3] in alone or [1, 2, 3] in alone
    assert len(alone) < 8 + 5 + 3 + 1  # turns one after another: the longest of each


def test_begun_dialogues_go_first_then_those_that_may_be_long() -> None:
    stepper = Lengths()
    talk = Conversation(stepper, [ask(0, 1), ask(1, 6, budget=20), ask(2, 1, turn=1)], slots=1)
    for arrival in talk:
        talk.reply(arrival.place, None)
    assert [batch[0] for batch in stepper.batches] == [2] + [1] * 6 + [0]


def test_what_is_expected_counts_more_than_what_may_be() -> None:
    """Dialogue 0 may write more; of 1 it is known. So 1 goes first, and an engine has it alone."""
    asks = [known(ask(0, 2, budget=60), 2, 2), known(ask(1, 6, budget=20), 6, 6)]
    assert begun(asks) == [1] * 6 + [0] * 2
    dealt = deal_dialogues([*asks, known(ask(2, 3, budget=60), 3, 3)], 2)
    assert [[a.place for a in part] for part in dealt] == [[1], [0, 2]]


def test_who_may_become_long_goes_first_and_who_will_is_dealt() -> None:
    """The last to begin must be short, or it ends alone; engines are to have equally much."""
    asks = [known(ask(0, 5, budget=60), 5, 9), known(ask(1, 2, budget=60), 2, 30)]
    assert begun(asks) == [1] * 2 + [0] * 5
    dealt = deal_dialogues([*asks, known(ask(2, 2, budget=60), 2, 2)], 2)
    assert [[a.place for a in part] for part in dealt] == [[0], [1, 2]]


def known(asked: Ask, mean: int, most: int) -> Ask:
    return asked._replace(known=Forecast(mean, most))


def begun(asks: Sequence[Ask]) -> list[int]:
    """Who has the only slot, step by step."""
    stepper = Lengths()
    talk = Conversation(stepper, asks, slots=1)
    for arrival in talk:
        talk.reply(arrival.place, None)
    return [batch[0] for batch in stepper.batches]


def test_calls_run_side_by_side() -> None:
    """96 dialogues with a call each that returns when all the others have begun."""
    stepper = Lengths()
    talk = Conversation(stepper, [ask(place, 1) for place in range(96)], slots=96)
    everyone = threading.Barrier(96, timeout=60)

    def call() -> None:
        if not everyone.broken and len(stepper.batches) == 1:
            everyone.wait()

    talk_through(talk, {place: [1] for place in range(96)}, call)
    assert not everyone.broken
    assert len(stepper.batches) == 2


def test_what_is_unfinished_at_the_limit_arrives_as_it_is() -> None:
    talk = Conversation(Lengths(), [ask(0, 2), ask(1, 50), ask(2, 3)], slots=2, most_tokens=6)
    seen = {}
    for arrival in talk:
        seen[arrival.place] = arrival.completion
        talk.reply(arrival.place, None)
    assert {place: (len(c.token_ids), c.finish_reason) for place, c in seen.items()} == {
        0: (2, "stop"),
        1: (3, "paused"),
        2: (1, "paused"),
    }


def test_a_slow_tool_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2core.engines.conversation._PATIENCE_S", 0.02)
    stepper = Lengths()
    talk = Conversation(stepper, [ask(0, 1), ask(1, 40)], slots=2)
    gate = threading.Event()
    for arrival in talk:
        if arrival.place == 0 and not gate.is_set():
            gate.set()
            timer = threading.Timer(0.2, talk.reply, (0, ask(0, 1, 1)))
            timer.start()
        else:
            talk.reply(arrival.place, None)
    assert talk.usage.late == 1
    assert sum(batch == [1] for batch in stepper.batches) >= 30  # it went on without


def test_a_reply_that_never_comes_is_no_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2core.engines.conversation._PATIENCE_S", 0.02)
    monkeypatch.setattr("k2core.engines.conversation._REPLY_S", 0.05)
    talk = Conversation(Lengths(), [ask(0, 1), ask(1, 2)], slots=2)
    with pytest.raises(StalledError, match=r"no reply to dialogues 0 within 0\.05 s"):
        list(talk)
    halted = Conversation(Lengths(), [ask(0, 1), ask(1, 9)], slots=2, most_tokens=2)
    with pytest.raises(StalledError, match=r"no reply to dialogues 0 within 0\.05 s"):
        list(halted)


def test_an_engine_that_makes_no_token_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Barren(Lengths):
        def step(self) -> list[Arrival]:
            time.sleep(0.001)
            return []

    monkeypatch.setattr("k2core.engines.conversation._TOKEN_S", 0.02)
    with pytest.raises(StalledError, match=r"made no token within 0\.02 s"):
        list(Conversation(Barren(), [ask(0, 1)], slots=1))


def test_who_is_left_alone_stops_and_drops_its_sequences() -> None:
    """By a word in its inbox, or because nobody takes the next arrival."""
    for by_word in (True, False):
        stepper = Lengths()
        inbox: SimpleQueue[Reply | None] = SimpleQueue()
        talk = Conversation(stepper, [ask(0, 1), ask(1, 50)], slots=2, inbox=inbox)
        turns = iter(talk)
        assert next(turns).place == 0
        if by_word:
            inbox.put(None)
            assert list(turns) == []
        else:
            turns.close()  # type: ignore[attr-defined]
        assert not stepper.halt()
        assert len(stepper.batches) == 1


def test_a_slot_is_in_use_while_the_engine_takes_dialogues_up_but_not_while_it_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second to take a dialogue up, two a step, five for each reply."""
    now = [0.0]

    class Timed(Lengths):
        def add(self, ask: Ask) -> None:
            now[0] += 1
            super().add(ask)

        def step(self) -> list[Arrival]:
            now[0] += 2
            return super().step()

    class Replies(SimpleQueue[Reply | None]):
        def get(self, block: bool = True, timeout: float | None = None) -> Reply | None:
            if not block:
                raise Empty
            now[0] += 5
            return super().get(block=False)

    monkeypatch.setattr("k2core.engines.conversation.time.perf_counter", lambda: now[0])
    together = Conversation(Timed(), [ask(0, 1), ask(1, 2)], slots=2)
    for arrival in together:
        together.reply(arrival.place, None)
    assert together.usage.seconds == 2 * 1 + 2 * 2
    assert together.usage.busy_s == 2 * (2 * 1 + 2) + 2

    inbox = Replies()
    alone = Conversation(Timed(), [ask(0, 1)], slots=1, inbox=inbox)
    replies = iter([Reply(0, ask(0, 1, turn=1)), Reply(0, None)])
    for _ in alone:
        inbox.put(next(replies))
    assert (alone.usage.busy_s, alone.usage.waited_s) == (2 * (1 + 2), 2 * 5)
    assert alone.usage.slot_s == alone.usage.seconds == 2 * (1 + 2 + 5)


def test_slots_of_an_engine_that_ended_first_stay_empty() -> None:
    """Two of two busy for 1 s, and two of two for 3 s: 8 of 12 slot-seconds."""
    short = Usage(busy_s=2.0, slot_s=2.0, seconds=1.0, tokens=5, steps=2)
    long = Usage(busy_s=6.0, slot_s=6.0, seconds=3.0, tokens=7, steps=6)
    both = Usage.side_by_side([short, long])
    assert both.slot_use == pytest.approx(8 / 12)
    assert (both.tokens, both.steps, both.seconds) == (12, 6, 3.0)
    assert short.then(long).slot_use == 1.0


def test_dialogues_are_dealt_by_what_they_may_write_and_begin_alike_together() -> None:
    asks = [
        Ask(place, [place // 2], Decoding(max_tokens=budget))
        for place, budget in enumerate([5, 5, 50, 50, 20, 20, 20, 20])
    ]
    places = [[a.place for a in part] for part in deal_dialogues(asks, 2)]
    assert places == [[2, 3], [0, 1, 4, 5, 6, 7]]
    assert [len(part) for part in deal_dialogues(asks[:2], 2)] == [1, 1]  # none is idle
    assert deal_dialogues([], 2) == [[], []]


def test_slots_are_busy_where_there_are_fewer_of_them_than_dialogues() -> None:
    """96 dialogues of one to three turns, of lengths as a tiny policy's; by count of steps."""
    rng = random.Random(1)
    every = {
        place: [
            min(60, 1 + int(rng.expovariate(1 / 11))) for _ in range(rng.choice([1, 1, 2, 2, 3]))
        ]
        for place in range(96)
    }
    total = sum(map(sum, every.values()))
    rounds = [[turns[n] for turns in every.values() if len(turns) > n] for n in range(3)]
    in_rounds = total / (96 * sum(map(max, rounds)))
    used = {}
    for slots in (96, 16):
        stepper, turns = Lengths(), {place: list(lengths) for place, lengths in every.items()}
        first = [ask(place, left.pop(0)) for place, left in turns.items()]
        talk_through(Conversation(stepper, first, slots), turns, lambda: None)
        assert len(stepper.batches) <= 1.8 * sum(map(max, rounds))
        used[slots] = total / (slots * len(stepper.batches))
    assert in_rounds < used[96] < 0.3
    assert used[16] > 0.8
