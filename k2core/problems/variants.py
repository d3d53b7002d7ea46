"""Held-out problems asked again under another condition: each beside the plain one, paired."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from pydantic import JsonValue

from k2core.problems.registry import FAMILIES
from k2core.problems.unseen import with_unseen_tools
from schemas.chat import Problem
from schemas.problems import Variant

_BUSY: dict[str, JsonValue] = {"busy_rate": 0.6}


def vary(problems: Sequence[Problem], per_family: int) -> list[Problem]:
    """The first problems of each generated family, in every condition that applies to them.

    Args:
        problems: held-out problems.
        per_family: how many of a family are asked again.
    """
    generated = [problem for problem in problems if problem.family in FAMILIES]
    with_tools = [problem for problem in generated if problem.tools]
    return [
        varied.model_copy(update={"problem_id": _rename(problem.problem_id, variant)})
        for variant, change in _VARIANTS.items()
        for place, problem in enumerate(_first(generated, per_family))
        if (varied := change(problem, with_tools[place % len(with_tools) :])) is not None
    ]


def plain_name(problem_id: str) -> str:
    """Of a varied problem: the plain one's id."""
    return _rename(problem_id, "held_out")


def variant_of(problem_id: str) -> str:
    """The condition that a problem is asked under; `held_out` of a plain one."""
    return problem_id.split("/")[1]


def _rename(problem_id: str, split: str) -> str:
    family, _, number = problem_id.split("/", 2)
    return f"{family}/{split}/{number}"


def _first(problems: Sequence[Problem], per_family: int) -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for problem in problems:
        seen[problem.family] += 1
        if seen[problem.family] <= per_family:
            yield problem


def _unseen(problem: Problem, _: Sequence[Problem]) -> Problem | None:
    return with_unseen_tools(problem).problem if problem.tools else None


def _enforced(problem: Problem, _: Sequence[Problem]) -> Problem | None:
    return problem if problem.tools else None


def _unfit(problem: Problem, with_tools: Sequence[Problem]) -> Problem | None:
    """Nothing serves what is declared: a call is answered with an error."""
    if problem.tools or not with_tools:
        return None
    return problem.model_copy(update={"tools": with_tools[0].tools})


def _failing(problem: Problem, _: Sequence[Problem]) -> Problem | None:
    if not problem.tools:
        return None
    bindings = cast("dict[str, dict[str, JsonValue]]", problem.state["tools"])
    tools: dict[str, JsonValue] = {name: {**tool, **_BUSY} for name, tool in bindings.items()}
    return problem.model_copy(
        update={
            "state": {**problem.state, "tools": tools},
            # Who insists has room to.
            "max_turns": 3 * problem.max_turns,
            "max_tokens": 3 * problem.max_tokens,
        }
    )


def _one_shot(problem: Problem, _: Sequence[Problem]) -> Problem | None:
    if problem.environment != "calculator":
        return None
    return problem.model_copy(update={"tools": (), "environment": "none", "state": {}})


_VARIANTS: dict[Variant, Callable[[Problem, Sequence[Problem]], Problem | None]] = {
    "unseen_tools": _unseen,
    "unseen_enforced": _unseen,
    "enforced": _enforced,
    "unfit_tools": _unfit,
    "failing_tools": _failing,
    "one_shot": _one_shot,
}
