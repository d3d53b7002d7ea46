"""What a killed run resumes from, on this machine or another: a sealed set an iteration."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from pydantic import TypeAdapter

from k2core.engines.learner import Learner
from k2core.rl.buffer import Buffer
from k2core.rl.history import History
from k2core.rl.priority import Successes
from k2core.rl.samples import Sample
from k2core.rl.sampling import IterationSamples
from k2core.store import States
from schemas.chat import Message, RolloutRow

_ITERATION, _BEST, _ROLLOUTS = "iteration-", "best-", "rollouts/"
_FINISHED = "iterations-"


class LoopState(NamedTuple):
    """All that an iteration needs from those before it, besides the trainer's state."""

    history: History = History()
    seen: Successes = Successes()
    buffer: Buffer = Buffer()
    ahead: IterationSamples | None = None
    """The next iteration's, where they are drawn beside the update (`RlConfig.staleness`)."""
    served: tuple[str, ...] = ()
    """Digests of the weights after 0, 1, ... updates."""


_AHEAD: TypeAdapter[IterationSamples | None] = TypeAdapter(IterationSamples | None)
_SERVED = TypeAdapter(tuple[str, ...])


class IterationStates:
    """Rollouts of all iterations, the newest one's state, and the best weights so far.

    Args:
        states: of the work; every rank of the trainer writes its own part there.
        aside: a folder of any machine, for weights on their way there.
    """

    def __init__(self, states: States, aside: Path) -> None:
        self._states, self._aside = states, aside

    @property
    def rollouts(self) -> Iterator[Path]:
        """Every iteration's rollouts, in order."""
        return map(self._states.fetch, self._states.names(_ROLLOUTS))

    def resume(self, trainer: Learner) -> LoopState:
        """Put the trainer where the last whole iteration left it; forget what came after."""
        whole = self._states.sealed(_ITERATION)
        newest = whole[-1] if whole else ""
        for name in {n.partition("/")[0] for n in self._states.names(_ITERATION)} - {newest}:
            self._states.delete(name)
        done = int(newest.removeprefix(_ITERATION)) if newest else 0
        for name in self._states.names(_ROLLOUTS)[done:]:
            self._states.delete(name)
        if not newest:
            return LoopState()
        trainer.load(partial(_fetch_below, self._states, f"{newest}/trainer"))
        return LoopState(
            History.model_validate_json(self._states.read(f"{newest}/history.json")),
            Successes.model_validate_json(self._states.read(f"{newest}/seen.json")),
            Buffer.model_validate_json(self._states.read(f"{newest}/buffer.json")),
            _AHEAD.validate_json(self._states.read(f"{newest}/ahead.json")),
            _SERVED.validate_json(self._states.read(f"{newest}/served.json")),
        )

    def save(self, trainer: Learner, progress: LoopState, rollouts: pl.DataFrame) -> None:
        """Write an iteration; once it is sealed, the one before it goes."""
        number = len(progress.history.iterations)
        name = f"{_ITERATION}{number:05d}"
        with self._states.writing(f"{_ROLLOUTS}{number:05d}.parquet") as path:
            RolloutRow.validate(rollouts).write_parquet(path)
        trainer.save(partial(_write_below, self._states, f"{name}/trainer"))
        self._states.put(f"{name}/history.json", progress.history.model_dump_json().encode())
        self._states.put(f"{name}/seen.json", progress.seen.model_dump_json().encode())
        self._states.put(f"{name}/buffer.json", progress.buffer.model_dump_json().encode())
        self._states.put(f"{name}/ahead.json", _AHEAD.dump_json(progress.ahead))
        self._states.put(f"{name}/served.json", _SERVED.dump_json(progress.served))
        self._states.seal(name, keep=1)

    def keep_best(self, trainer: Learner, num_iterations: int) -> None:
        """Keep the weights as they are now in place of the best so far."""
        name = f"{_BEST}{num_iterations:05d}"
        self._states.delete(name)
        trainer.export_checkpoint(self._aside, partial(_write_below, self._states, name))
        self._states.seal(name, keep=1)

    def copy_best(self, folder: Path) -> bool:
        """The best weights by validation so far into a new folder; False if there are none."""
        if not (whole := self._states.sealed(_BEST)):
            return False
        folder.mkdir()
        for name in self._states.names(f"{whole[-1]}/"):
            shutil.copyfile(self._states.fetch(name), folder / Path(name).name)
        return True

    def keep_for_later(self, kept: States, num_iterations: int) -> None:
        """Put all aside for work that goes further, in place of what a shorter one has put there.

        Before the last validation: a run that goes further has none there.
        """
        name = f"{_FINISHED}{num_iterations:08d}"
        if any(found >= name for found in kept.sealed(_FINISHED)):
            return
        kept.delete(name)
        for file in self._states.names():
            with kept.writing(f"{name}/{file}") as copy:
                shutil.copyfile(self._states.fetch(file), copy)
        kept.seal(name, keep=1)

    def begin_with(self, kept: States, num_iterations: int) -> None:
        """Where nothing is done yet: take up what finished work of fewer iterations has left."""
        shorter = [
            name
            for name in kept.sealed(_FINISHED)
            if int(name.removeprefix(_FINISHED)) < num_iterations
        ]
        if not shorter or self._states.sealed():
            return
        self._states.clear()
        sets = set()
        for file in kept.names(f"{shorter[-1]}/"):
            place = file.partition("/")[2]
            with self._states.writing(place) as copy:
                shutil.copyfile(kept.fetch(file), copy)
            sets.add(place.partition("/")[0])
        for name in sorted(sets - {_ROLLOUTS.rstrip("/")}):
            self._states.seal(name, keep=1)


def _write_below(states: States, folder: str, name: str) -> AbstractContextManager[Path]:
    return states.writing(f"{folder}/{name}")


def _fetch_below(states: States, folder: str, name: str) -> Path:
    return states.fetch(f"{folder}/{name}")


_IDS, _LOGPROBS = pl.List(pl.Int32), pl.List(pl.Float32)


def rollout_table(samples: Sequence[Sample], iteration: int, temperature: float) -> pl.DataFrame:
    """An iteration's samples as rows, each with the digest of the weights that served it."""
    return pl.DataFrame(
        {
            "rollout_id": [f"{iteration:05d}/{index:05d}" for index in range(len(samples))],
            "problem_id": [s.problem.problem_id for s in samples],
            "family": [s.problem.family for s in samples],
            "iteration": [iteration] * len(samples),
            "weights": [s.dialogue.weights for s in samples],
            "messages": [_as_json(s.dialogue.messages) for s in samples],
            "temperature": [temperature] * len(samples),
            "token_ids": pl.Series([s.dialogue.token_ids for s in samples], dtype=_IDS),
            "logprobs": pl.Series([_written(s) for s in samples], dtype=_LOGPROBS),
            "num_tokens": [s.dialogue.num_tokens for s in samples],
            "stale_tokens": [s.dialogue.num_stale for s in samples],
            "reward": [s.reward for s in samples],
            "advantage": [s.advantage for s in samples],
            "reason": [s.reason for s in samples],
        }
    )


def _written(sample: Sample) -> list[float | None]:
    """Log p of each token that the policy wrote; null at the others."""
    dialogue = sample.dialogue
    pairs = zip(dialogue.logprobs, dialogue.policy_mask, strict=True)
    return [p if own else None for p, own in pairs]


def _as_json(messages: Sequence[Message]) -> str:
    return "[" + ",".join(message.model_dump_json() for message in messages) + "]"
