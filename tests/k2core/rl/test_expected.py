"""How long dialogues are expected to be: by what was seen, and alike after a kill."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from k2core.rl.loop import run_iterations
from k2core.rl.priority import SeenProblem, Successes
from k2core.rl.samples import Sample
from schemas.chat import Problem
from tests.k2core.rl.test_loop import POOL, ToyEngine, practice, workspace


def test_a_family_is_expected_to_take_its_mean_rounded_up() -> None:
    seen = Successes().add(
        [SeenProblem(POOL[0], [1.0, 0.0], tokens=10), SeenProblem(POOL[2], [0.0], tokens=3)]
    )
    assert seen.lengths == {"even": 5}  # 13 tokens of 3 samples


def test_what_is_expected_of_dialogues_is_the_same_after_a_kill(tmp_path: Path) -> None:
    """Batches follow from it, so equal runs have to expect alike before each play."""

    def expected(engine: ToyEngine, key: str) -> list[dict[str, int]]:
        ready, found = practice(engine), list[dict[str, int]]()

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
    assert whole[-1] == {"even": 1, "odd": 1}
    killed = expected(ToyEngine(fail_at=4), "killed")  # in the second iteration's place
    assert killed + expected(ToyEngine(), "killed") == whole[:4] + whole[3:]
