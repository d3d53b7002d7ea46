"""The criteria that a request's answers are held against: built in, and of one's own."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from k2core.critic.checks import CHECKS
from schemas.chat import Problem
from schemas.rubrics import (
    ANY,
    RUBRIC,
    VERIFIABLE,
    Criterion,
    RubricFile,
    parse_criteria,
    read_rubric,
)

FOLDER = Path(__file__).with_name("rubrics")


class Rubric(NamedTuple):
    """All criteria, in the order of their files."""

    criteria: tuple[Criterion, ...]

    @property
    def contexts(self) -> frozenset[str]:
        """Kinds of requests that a criterion is for."""
        return frozenset(name for c in self.criteria for name in c.applies) - {ANY, VERIFIABLE}

    def of(self, problem: Problem) -> tuple[Criterion, ...]:
        """Those that a critic looks at.

        Raises:
            ValueError: the problem's context is of no criterion.
        """
        context = context_of(problem)
        if context not in self.contexts | {ANY, VERIFIABLE}:
            known = ", ".join(sorted(self.contexts))
            raise ValueError(
                f"{problem.problem_id}: context: {context[:40]!r} is of no criterion; there are "
                f"{known}"
            )
        return tuple(c for c in self.criteria if not c.check and {ANY, context} & set(c.applies))

    def rules_of(self, problem: Problem) -> tuple[Criterion, ...]:
        """Those that no answer may break."""
        here = {ANY, context_of(problem)}
        return tuple(c for c in self.criteria if c.check and here & set(c.applies))


def context_of(problem: Problem) -> str:
    """The kind of a request, as its row states it."""
    if problem.verifier != RUBRIC:
        return VERIFIABLE
    context = problem.expected.get("context", ANY)
    return context if isinstance(context, str) else ""


def load_rubric(files: Sequence[RubricFile] = ()) -> Rubric:
    """The built-in criteria, then those of the files.

    Raises:
        ValueError: an unknown check, or an id that is taken; names file and row.
    """
    criteria = list(_built_in())
    taken = {criterion.id: "built in" for criterion in criteria}
    for file in files:
        for number, criterion in enumerate(file.criteria, 1):
            place = f"{file.path}, row {number}"
            if criterion.id in taken:
                raise ValueError(f"{place}: id: {criterion.id} is {taken[criterion.id]}")
            if criterion.check and criterion.check not in CHECKS:
                raise ValueError(
                    f"{place}: check: {criterion.check!r} is none of {', '.join(CHECKS)}"
                )
            taken[criterion.id] = f"that of {place}"
            criteria.append(criterion)
    return Rubric(tuple(criteria))


@lru_cache(maxsize=1)
def _built_in() -> tuple[Criterion, ...]:
    names = ("core", "prescriptive", "contexts")
    paths = [FOLDER / f"{name}.yaml" for name in names]
    return tuple(c for path in paths for c in parse_criteria(path.name, read_rubric(path)))
