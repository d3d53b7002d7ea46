"""Partial rollouts: fewer engine steps on a heavy tail, equal learning, and exact resumption."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.partial import practise, scripted
from k2core.agents import Segment, Start
from k2core.rewards import Verdict
from k2core.rl.buffer import Buffer
from k2core.rl.clock import Clock
from k2core.rl.loop import run_iterations
from k2core.rl.partial import sample_part
from k2core.rl.practice import Practice
from k2core.rl.priority import Successes
from k2core.rl.samples import Sample
from k2core.rl.state import IterationStates
from schemas.rl import RlConfig
from tests.k2core.rl.test_loop import CONFIG, POOL, ToyEngine, judge, logged, practice, workspace

PARTIAL = CONFIG.model_copy(
    update={"iteration_tokens": 150, "num_iterations": 14, "decay_iterations": 14}
)


class PartEngine(ToyEngine):
    """Dialogues of lengths with a heavy tail, a token of each at a time; the last is the answer."""

    def play_part(
        self, starts: Sequence[Start], temperature: float, most: int | None = None
    ) -> list[Sample | Start]:
        assert most is not None
        lengths = [self._length(start) for start in starts]
        said = [sum(len(s.token_ids) for s in start.segments) for start in starts]
        steps, made = 0, 0
        while made < most and (
            left := sum(s + steps < n for s, n in zip(said, lengths, strict=True))
        ):
            steps, made = steps + 1, made + left
        found: list[Sample | Start] = []
        for start, length, earlier in zip(starts, lengths, said, strict=True):
            if earlier + steps < length:
                thought = Segment([0] * steps, [-0.1] * steps, self.weights)
                found.append(start._replace(segments=(*start.segments, thought)))
            else:
                (sample,) = self.play([start.problem], [start.seed], temperature)
                first, *others = sample.dialogue.segments
                whole = sample.dialogue._replace(segments=(first, *start.segments, *others))
                found.append(sample._replace(dialogue=whole))
        return found

    @staticmethod
    def _length(start: Start) -> int:
        return min(60, 1 + int(random.Random(start.seed).paretovariate(0.9)))


def partly(engine: PartEngine, config: RlConfig = PARTIAL) -> Practice:
    whole = practice(engine, config)
    return Practice(**{**vars(whole), "play_part": engine.play_part})


def test_a_heavy_tail_takes_far_fewer_steps_in_parts() -> None:
    """A count, the same everywhere: steps for a sample, and for a token that is learned from."""
    whole, part = practise(scripted(None), 6), practise(scripted(16_000), 6)
    assert whole.stale_frac == 0.0
    assert (whole.steps / whole.samples) / (part.steps / part.samples) > 1.5
    fresh = part.tokens * (1 - part.stale_frac)
    assert (whole.steps / whole.tokens) / (part.steps / fresh) > 1.5


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_the_policy_learns_as_from_whole_rollouts(tmp_path: Path, seed: int) -> None:
    whole = CONFIG.model_copy(update={"seed": seed, "validation_every": 0})
    # Of fewer samples each, so more of them.
    more = {"iteration_tokens": 200, "num_iterations": 13, "decay_iterations": 13}
    parts = run_iterations(
        partly(PartEngine(), whole.model_copy(update=more)), workspace(tmp_path / "parts")
    )
    full = run_iterations(practice(ToyEngine(), whole), workspace(tmp_path / "whole"))
    last = [history.iterations[-4:] for history in (parts, full)]
    mine, theirs = (sum(i.reward for i in four) / 4 for four in last)
    assert min(mine, theirs) > 0.7  # a quarter is right by chance
    assert abs(mine - theirs) < 0.15
    assert any(i.unfinished for i in parts.iterations)


def test_a_killed_run_goes_on_with_what_was_begun_to_the_same_bytes(tmp_path: Path) -> None:
    class Dying(PartEngine):
        left = 60

        def play_part(
            self, starts: Sequence[Start], temperature: float, most: int | None = None
        ) -> list[Sample | Start]:
            self.left -= 10
            if self.left < 0:
                raise KeyboardInterrupt
            return super().play_part(starts, temperature, most)

    whole = run_iterations(partly(PartEngine()), workspace(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_iterations(partly(Dying()), workspace(tmp_path / "killed"))
    states = IterationStates(workspace(tmp_path / "killed").states, tmp_path / "aside")
    begun = Buffer.model_validate_json(
        workspace(tmp_path / "killed").states.read("iteration-00006/buffer.json")
    )
    assert begun.starts
    assert len(list(states.rollouts)) == 6
    assert run_iterations(partly(PartEngine()), workspace(tmp_path / "killed")) == whole
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


def test_each_sample_is_learned_from_once_against_all_that_have_ended() -> None:
    """By hand, of one problem: two end with 1 and 0, later two with 1 and 1: means 0.5 and 0.75."""
    config = PARTIAL.model_copy(update={"problems_per_iteration": 1, "samples_per_problem": 4})
    lengths, rewards = iter([[1, 1, 9, 9], [9, 9]]), iter([1.0, 0.0, 1.0, 1.0])

    class Staged(PartEngine):
        def play_part(
            self, starts: Sequence[Start], temperature: float, most: int | None = None
        ) -> list[Sample | Start]:
            ended = [
                length == 1 or bool(start.segments)
                for length, start in zip(next(lengths), starts, strict=True)
            ]
            thought = Segment([0], [-0.1], "sha256:old")
            samples = iter(self.play([s.problem for s in starts], [s.seed for s in starts], 1.0))
            return [
                sample if end else start._replace(segments=(thought,))
                for end, start, sample in zip(ended, starts, samples, strict=True)
            ]

    def earn(samples: Sequence[Sample]) -> list[Verdict]:
        return [Verdict(next(rewards)) for _ in samples]

    ready = Practice(**{**vars(partly(Staged(), config)), "judge": earn})
    rng, seen = random.Random(0), Successes()
    first = sample_part(ready, seen, Buffer(), 1.0, rng, Clock(), 0)
    assert [s.advantage for s in first.samples] == [0.5, -0.5]
    assert len(first.buffer.starts) == 2
    second = sample_part(ready, seen, first.buffer, 1.0, rng, Clock(), 1)
    assert [s.advantage for s in second.samples] == [0.25, 0.25]
    assert second.buffer == Buffer()
    assert {s.problem.problem_id for s in [*first.samples, *second.samples]} <= {
        p.problem_id for p in POOL
    }


def test_a_faulty_sample_takes_its_unfinished_neighbours_with_it() -> None:
    config = PARTIAL.model_copy(update={"max_faulty_frac": 0.9})

    def fail(samples: Sequence[Sample]) -> list[Verdict]:
        bad = samples[0].problem.problem_id
        return [
            Verdict.faulty("down") if s.problem.problem_id == bad else v
            for s, v in zip(samples, judge(samples), strict=True)
        ]

    ready = Practice(**{**vars(partly(PartEngine(), config)), "judge": fail})
    found = sample_part(ready, Successes(), Buffer(), 1.0, random.Random(1), Clock(), 0)
    assert sum(found.dropped.values()) == 1
    kept = {s.problem.problem_id for s in found.samples} | set(found.buffer.known)
    assert len(kept) == config.problems_per_iteration - 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"iteration_tokens": 100, "refill_rounds": 1}, "set one of them"),
        ({"iteration_tokens": 100, "enforcer": True}, "a grammar holds whole ones"),
        ({"max_repeats": 1}, "2 or more"),
    ],
)
def test_settings_that_contradict_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RlConfig.model_validate(wrong)
