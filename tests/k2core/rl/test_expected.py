"""How long dialogues are expected to be: by what was seen, and alike after a kill."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from k2core.engines.protocol import Forecast
from k2core.rl.loop import run_iterations
from k2core.rl.priority import SeenProblem, Successes
from k2core.rl.samples import Sample
from schemas.chat import Problem
from tests.k2core.rl.test_loop import POOL, ToyEngine, practice, workspace


def test_a_family_is_expected_to_take_its_mean_and_what_few_exceed() -> None:
    seen = Successes().add(
        [SeenProblem(POOL[0], [1.0, 0.0], written=[8, 2]), SeenProblem(POOL[2], [0.0], written=[3])]
    )
    assert seen.lengths == {"even": Forecast(5, 8)}  # 13 tokens of 3 samples, rounded up
    rare = SeenProblem(POOL[1], [0.0] * 100, written=[*range(1, 97), 400, 500, 600, 700])
    assert seen.add([rare]).lengths["odd"] == Forecast(69, 400)  # the 97th of 100


def test_lengths_are_of_late_dialogues() -> None:
    """A policy's dialogues grow or shrink as it learns."""
    seen = Successes()
    for length in (50, 6, 7):
        seen = seen.add([SeenProblem(POOL[1], [1.0] * 128, written=[length] * 128)])
    assert seen.lengths == {"odd": Forecast(7, 7)}  # 6.5, rounded up
    assert not seen.problems[POOL[1].problem_id].written  # of families alone


def test_what_is_expected_of_dialogues_is_the_same_after_a_kill(tmp_path: Path) -> None:
    """Batches follow from it, so equal runs have to expect alike before each play."""

    def expected(engine: ToyEngine, key: str) -> list[dict[str, Forecast]]:
        ready, found = practice(engine), list[dict[str, Forecast]]()

        def play(
            problems: Sequence[Problem], seeds: Sequence[int], temperature: float
        ) -> list[Sample]:
            found.append(dict(ready.expected))
            return engine.play(problems, seeds, temperature)

        with contextlib.suppress(KeyboardInterrupt):
            run_iterations(replace(ready, play=play), workspace(tmp_path / key))
        return found

    whole = expected(ToyEngine(), "whole")
    assert whole[0] == {}  # an examination, before anything was seen
    assert whole[-1] == dict.fromkeys(("even", "odd"), Forecast(1, 1))
    killed = expected(ToyEngine(fail_at=4), "killed")  # in the second iteration's place
    assert killed + expected(ToyEngine(), "killed") == whole[:4] + whole[3:]
