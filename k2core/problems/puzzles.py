"""Problems of reasoning-gym's generators, each judged by the scorer of its data set."""

import json
from collections.abc import Iterator
from typing import cast

from pydantic import JsonValue

from k2core.problems.files import ProblemSourceError
from k2core.problems.rows import OwnProblem, key_of
from schemas.chat import Message, Problem
from schemas.problems import PuzzleSource


def draw_puzzles(source: PuzzleSource, seed: int) -> Iterator[OwnProblem]:
    """`size` problems; the first of those that ask the same.

    Raises:
        SourceError: there is no such generator, it refuses its options, or the library is missing.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise ProblemSourceError(
            f"{source.name}: puzzles need the package reasoning-gym: pip install reasoning-gym"
        ) from None
    if source.dataset not in DATASETS:
        raise ProblemSourceError(
            f"{source.name}: reasoning-gym has no {source.dataset!r}; it has {', '.join(DATASETS)}"
        )
    try:
        entries = reasoning_gym.create_dataset(
            source.dataset, **{"seed": seed, **source.options, "size": source.size}
        )
        found = [entries[number] for number in range(source.size)]
    except Exception as error:
        raise ProblemSourceError(f"{source.name}: {source.dataset} refuses: {error}") from None
    for number, entry in enumerate(found):
        yield _pose(source, number, json.loads(json.dumps(entry, default=str)))


def _pose(source: PuzzleSource, number: int, entry: dict[str, JsonValue]) -> OwnProblem:
    messages = (Message(role="user", content=str(entry["question"])),)
    expected = {"dataset": source.dataset, "entry": cast("JsonValue", entry)}
    problem = Problem(
        problem_id=str(number),
        family=source.name,
        group=source.group,
        messages=messages,
        verifier="puzzle",
        expected=expected,
        max_turns=source.max_turns,
        max_tokens=source.max_tokens,
    )
    return OwnProblem(problem, key_of(messages), None)
