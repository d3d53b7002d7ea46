"""Pairs of which a verifier says who is right: what a critic learns from, and is measured on."""

import random
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import polars as pl
from pydantic import TypeAdapter

from k2core.chat import ChatCodec, EncodedDialogue
from k2core.critic.template import LETTERS, OrderedPair, Template, answer_of
from k2core.tables import list_shards, read_shard
from schemas.chat import Message, Problem, TrajectoryRow
from schemas.rubrics import CriticPairs

_MESSAGES = TypeAdapter(tuple[Message, ...])
_NEEDED = ("problem_id", "problem", "messages", "fault")


class PreferencePair(NamedTuple):
    """A right answer and a wrong one."""

    problem: Problem
    right: str
    wrong: str

    def shown(self, *, right_first: bool) -> OrderedPair:
        """In one of its orders."""
        parts = (self.right, self.wrong) if right_first else (self.wrong, self.right)
        return OrderedPair(self.problem, *parts)


class Answers(NamedTuple):
    """A problem's answers of one outcome."""

    problem: Problem
    texts: list[str]


def pair_up(
    problem: Problem, right: Iterable[str], wrong: Iterable[str], most: int, rng: random.Random
) -> list[PreferencePair]:
    """Some of a problem's pairs, each different; answers that read alike are none.

    Args:
        problem: what was asked.
        right: answers that passed.
        wrong: those that failed by the agent's own fault.
        most: pairs at most.
        rng: chooses.
    """
    goods, bads = sorted(set(right)), sorted(set(wrong))
    pairs = [
        PreferencePair(problem, good, bad) for good, bad in product(goods, bads) if good != bad
    ]
    return pairs if len(pairs) <= most else rng.sample(pairs, most)


def pairs_of_trajectories(folder: Path, most: int, seed: int) -> list[PreferencePair]:
    """Pairs of a set's accepted and rejected dialogues of the same problem.

    Args:
        folder: of an opened `TrajectorySet`.
        most: pairs in all.
        seed: chooses among more.

    Raises:
        ValueError: no problem has both; says what would make some.
    """
    failed = _by_problem(_rows(folder / "rejects"))
    passed = _by_problem(_rows(folder / "accepted", set(failed)))
    pairs = list[PreferencePair]()
    for problem_id in sorted(failed.keys() & passed.keys()):
        problem, right = passed[problem_id]
        rng = random.Random(f"{seed}/{problem_id}")
        pairs += pair_up(problem, right, failed[problem_id].texts, most, rng)
    if not pairs:
        raise ValueError(
            f"{folder} has no problem with an accepted and a rejected trajectory, of which a "
            "critic could learn: raise synthesize.slip_frac, or leave out sft.critic"
        )
    return pairs if len(pairs) <= most else random.Random(seed).sample(pairs, most)


def iterate_examples(
    folder: Path, codec: ChatCodec, config: CriticPairs, seed: int
) -> Iterator[EncodedDialogue]:
    """The critic's bootstrap: each pair once, the better answer first or second at random."""
    template, rng = Template(config, codec), random.Random(f"{seed}/critic")
    for pair in pairs_of_trajectories(folder, config.num_pairs, seed):
        right_first = rng.random() < 0.5
        better = LETTERS[0] if right_first else LETTERS[1]
        yield template.encode_example(pair.shown(right_first=right_first), better)


def _rows(folder: Path, wanted: set[str] | None = None) -> Iterator[pl.DataFrame]:
    for shard in list_shards(folder):
        frame = read_shard(shard, TrajectoryRow).select(_NEEDED)
        blameless = pl.col("fault").is_in(["", "agent"])
        of = pl.lit(True) if wanted is None else pl.col("problem_id").is_in(sorted(wanted))
        yield frame.filter(blameless & of)


def _by_problem(frames: Iterable[pl.DataFrame]) -> dict[str, Answers]:
    found: dict[str, Answers] = {}
    for frame in frames:
        for problem_id, problem, messages, _ in frame.iter_rows():
            if problem_id not in found:
                found[problem_id] = Answers(Problem.model_validate_json(problem), [])
            posed, texts = found[problem_id]
            texts.append(answer_of(posed, _MESSAGES.validate_json(messages)))
    return found
