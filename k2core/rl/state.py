"""What a killed run resumes from: one folder an iteration, complete once it has its name."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core import store
from k2core.engines.learner import Learner
from k2core.rl.history import History
from k2core.rl.priority import Successes
from k2core.rl.samples import Sample
from schemas.chat import Message, RolloutRow


class Progress(NamedTuple):
    """All that an iteration needs from those before it, besides the trainer's state."""

    history: History = History()
    seen: Successes = Successes()


class States:
    """Iterations' folders below `root`; only the newest keeps the trainer's state."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    @property
    def rollouts(self) -> list[Path]:
        """Every iteration's rollouts, in order."""
        return [folder / "rollouts.parquet" for folder in self._folders()]

    def resume(self, trainer: Learner) -> Progress:
        """Put the trainer where the last complete iteration left it."""
        folders = self._folders()
        if not folders:
            return Progress()
        trainer.load((folders[-1] / "trainer").joinpath)
        return Progress(
            History.model_validate_json((folders[-1] / "history.json").read_bytes()),
            Successes.model_validate_json((folders[-1] / "seen.json").read_bytes()),
        )

    def save(self, trainer: Learner, progress: Progress, rollouts: pl.DataFrame) -> None:
        """Write an iteration aside, rename it, and only then drop the older trainer's state."""
        aside, older = self._root / "aside", self._folders()
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        trainer.save(aside / "trainer")
        RolloutRow.validate(rollouts).write_parquet(aside / "rollouts.parquet")
        (aside / "history.json").write_text(progress.history.model_dump_json())
        (aside / "seen.json").write_text(progress.seen.model_dump_json())
        number = len(progress.history.iterations)
        aside.rename(self._root / f"iteration-{number:05d}")
        for folder in older:
            shutil.rmtree(folder / "trainer", ignore_errors=True)

    @property
    def best(self) -> Path | None:
        """The best weights by validation so far, in the Hugging Face layout."""
        return max(self._root.glob("best-*"), default=None)

    def keep_best(self, trainer: Learner, num_iterations: int) -> None:
        """Keep the weights as they are now in place of the best so far."""
        aside, kept = self._root / "aside-best", self._root / f"best-{num_iterations:05d}"
        shutil.rmtree(aside, ignore_errors=True)
        trainer.export_checkpoint(aside)
        shutil.rmtree(kept, ignore_errors=True)
        aside.rename(kept)
        for folder in self._root.glob("best-*"):
            if folder != kept:
                shutil.rmtree(folder)

    def keep_for_later(self, kept: store.States, num_iterations: int) -> None:
        """Put all aside for work that goes further, in place of what a shorter one has put there.

        Before the last validation: a run that goes further has none there.
        """
        name = f"iterations-{num_iterations:08d}"
        if any(found >= name for found in kept.sealed("iterations-")):
            return
        kept.delete(name)
        for path in sorted(p for p in self._root.rglob("*") if p.is_file()):
            place = path.relative_to(self._root)
            if not place.parts[0].startswith("aside"):
                with kept.writing(f"{name}/{place.as_posix()}") as copy:
                    shutil.copyfile(path, copy)
        kept.seal(name, keep=1)

    def begin_with(self, kept: store.States, num_iterations: int) -> None:
        """Where nothing is done yet: take up what finished work of fewer iterations has left."""
        shorter = [
            name
            for name in kept.sealed("iterations-")
            if int(name.rpartition("-")[2]) < num_iterations
        ]
        if not shorter or any(self._root.iterdir()):
            return
        aside = self._root.with_name("aside-kept")
        shutil.rmtree(aside, ignore_errors=True)
        for file in kept.names(f"{shorter[-1]}/"):
            path = aside / file.partition("/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept.fetch(file), path)
        self._root.rmdir()
        aside.rename(self._root)

    def _folders(self) -> list[Path]:
        return sorted(self._root.glob("iteration-*"))


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
