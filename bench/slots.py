"""How many slots an engine should have: a run's recorded dialogues, scheduled again.

    python -m bench.slots ROLLOUTS

ROLLOUTS is the folder of a run's rollout log. No model and no clock: the schedule is the engines'
own, a step makes a token of each dialogue in a slot, and is taken to last 5 ms and 0.15 ms a
dialogue, as was measured of the tiny model on one core.
"""

import argparse
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import polars as pl
from rich.console import Console
from rich.table import Table

from k2core.engines.conversation import Conversation
from k2core.engines.deal import deal_dialogues
from k2core.engines.protocol import Arrival, Ask, Completion, Decoding, Forecast
from k2core.rl.priority import MOST_RECENT, RewardTally, Successes

STEP_MS, DIALOGUE_MS = 5.0, 0.15
_ENGINES = 2
_LONGEST_CERTAIN = 3
"""Tokens of the policy that may have a log p of 0; more are another's."""


class Played(NamedTuple):
    """A dialogue of the log."""

    problem: int
    family: str
    turns: list[int]
    """Tokens of each turn of the policy."""


class Found(NamedTuple):
    """Of an iteration."""

    steps: int
    ms: float
    slot_use: float


class _Lengths:
    """A stepper that makes as many tokens of each turn as were recorded."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}
        self.ms, self.busy, self._tokens = 0.0, 0.0, 0

    def add(self, ask: Ask) -> None:
        self._left[ask.place] = ask.prompt[-1]

    def step(self) -> list[Arrival]:
        running = len(self._left)
        spent = STEP_MS + DIALOGUE_MS * running
        self.ms, self.busy = self.ms + spent, self.busy + spent * running
        self._tokens += running
        self._left = {place: left - 1 for place, left in self._left.items()}
        ended = [place for place, left in self._left.items() if left <= 0]
        for place in ended:
            del self._left[place]
        return [Arrival(place, Completion([], [], "stop")) for place in sorted(ended)]

    def count(self) -> int:
        return self._tokens

    def halt(self) -> list[Arrival]:
        """What each still has to say, in place of what it said."""
        halted, self._left = sorted(self._left.items()), {}
        return [Arrival(place, Completion([0] * left, [], "paused")) for place, left in halted]


def read_iteration(path: Path) -> list[Played]:
    """Its dialogues, with the turns that the policy wrote."""
    names: dict[str, int] = {}
    rows = pl.read_parquet(path, columns=["problem_id", "family", "logprobs"])
    found = [
        Played(names.setdefault(name, len(names)), family, list(_turns(logprobs)))
        for name, family, logprobs in rows.iter_rows()
    ]
    return [played for played in found if played.turns]


def _turns(logprobs: Sequence[float | None]) -> Iterator[int]:
    turn = 0
    for others, run in groupby(logprobs, lambda p: not p):
        length = len(list(run))
        if not others or (turn and length <= _LONGEST_CERTAIN):
            turn += length
        elif turn:
            yield turn
            turn = 0
    if turn:
        yield turn


def lengths_of(played: Iterable[Played]) -> dict[str, Forecast]:
    """Family -> tokens of a dialogue, as the stage would expect them."""
    found = defaultdict[str, deque[int]](lambda: deque(maxlen=MOST_RECENT))
    for one in played:
        found[one.family].append(sum(one.turns))
    tallies = {family: RewardTally(written=tuple(lengths)) for family, lengths in found.items()}
    return Successes(families=tallies).lengths


def schedule(iteration: Sequence[Played], slots: int, expected: dict[str, Forecast]) -> Found:
    """Play an iteration on engines of so many slots."""

    def ask(place: int, turn: int) -> Ask | None:
        one = iteration[place]
        if turn >= len(one.turns):
            return None
        known = expected.get(one.family)
        known = known and known.after(sum(one.turns[:turn]), 160)
        return Ask(place, [one.problem, one.turns[turn]], Decoding(max_tokens=160), turn, known)

    first = [found for place in range(len(iteration)) if (found := ask(place, 0))]
    alike = [a._replace(prompt=a.prompt[:1]) for a in first]
    used, steps = list[_Lengths](), list[int]()
    for part in deal_dialogues(alike, _ENGINES):
        stepper, turns = _Lengths(), dict.fromkeys((a.place for a in part), 0)
        talk = Conversation(stepper, [first[a.place] for a in part], slots)
        for arrival in talk:
            turns[arrival.place] += 1
            talk.reply(arrival.place, ask(arrival.place, turns[arrival.place]))
        used.append(stepper)
        steps.append(talk.usage.steps)
    ms = max(stepper.ms for stepper in used)
    places = min(slots, len(iteration) // _ENGINES)
    return Found(max(steps), ms, sum(s.busy for s in used) / (_ENGINES * places * ms))


class _Part(NamedTuple):
    """Of an iteration that is capped."""

    stepper: _Lengths
    steps: int
    left: list[Played]


def schedule_in_parts(iterations: Sequence[Sequence[Played]], slots: int, tokens: int) -> Found:
    """Play iterations of so many tokens: what is unfinished goes on first in the next; means."""
    left = [list[Played]() for _ in range(_ENGINES)]
    found = list[Found]()
    for iteration in iterations:
        parts = []
        for number in range(_ENGINES):
            own = [one for one in iteration if one.problem % _ENGINES == number]
            going = left[number] + own[: max(0, len(own) - len(left[number]))]
            parts.append(_play_part(going, slots, tokens // _ENGINES))
        left = [part.left for part in parts]
        ms = max(part.stepper.ms for part in parts)
        busy = sum(part.stepper.busy for part in parts)
        steps = max(part.steps for part in parts)
        found.append(Found(steps, ms, busy / (_ENGINES * slots * ms)))
    mean = [fmean(column) for column in zip(*found, strict=True)]
    return Found(round(mean[0]), *mean[1:])


def _play_part(going: Sequence[Played], slots: int, tokens: int) -> _Part:
    def ask(place: int) -> Ask | None:
        turns = going[place].turns[done[place] :]
        return Ask(place, turns[:1], Decoding(), done[place]) if turns else None

    stepper, left, done = _Lengths(), list[Played](), [0] * len(going)
    talk = Conversation(stepper, [a for p in range(len(going)) if (a := ask(p))], slots, tokens)
    for place, completion in talk:
        if completion.finish_reason == "paused":
            still = len(completion.token_ids) or going[place].turns[done[place]]
            turns = [still, *going[place].turns[done[place] + 1 :]]
            left.append(going[place]._replace(turns=turns))
        else:
            done[place] += 1
            talk.reply(place, ask(place))
    return _Part(stepper, talk.usage.steps, left)


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line for each number of slots, with and without expected lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rollouts", type=Path)
    parser.add_argument("--every", type=int, default=3, help="iterations from one to the next")
    options = parser.parse_args(arguments)
    played = [read_iteration(path) for path in sorted(options.rollouts.rglob("*.parquet"))]
    table = Table("slots", "order", "steps", "ms", "busy share of the slots")
    for slots in (96, 48, 32, 24, 20, 16):
        for order in ("as asked", "expected longest first"):
            found = [
                schedule(
                    played[n],
                    slots,
                    lengths_of(one for part in played[:n] for one in part)
                    if order != "as asked"
                    else {},
                )
                for n in range(1, len(played), options.every)
            ]
            steps, ms, use = (fmean(column) for column in zip(*found, strict=True))
            table.add_row(str(slots), order, f"{steps:.0f}", f"{ms:.0f}", f"{use:.2f}")
        whole = round(fmean(sum(sum(one.turns) for one in part) for part in played))
        for share in (0.9, 0.75, 0.5):
            steps, ms, use = schedule_in_parts(played, slots, round(share * whole))
            order = f"in parts of {share * whole:.0f} tokens"
            table.add_row(str(slots), order, f"{steps:.0f}", f"{ms:.0f}", f"{use:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
