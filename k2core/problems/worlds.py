"""Problems of somebody's own environment: one a seed, each as its `reset` begins it."""

from collections.abc import Iterator

from pydantic import JsonValue

from k2core.environments.own import OWN, play_own
from k2core.problems.declared import read_tools
from k2core.problems.faults import RowError
from k2core.problems.files import ProblemSourceError
from k2core.problems.rows import OwnProblem, key_of, read_messages
from k2core.sandbox import OwnCodeError, Sandbox
from schemas.chat import Problem
from schemas.problems import EnvironmentSource

_TRIED = 3
"""Seeds after which an environment that never began is given up: one may hang at each."""


def draw_worlds(source: EnvironmentSource, seed: int) -> Iterator[OwnProblem | RowError]:
    """`size` problems, or why a seed gives none.

    Raises:
        ProblemSourceError: none of the first seeds gives one.
        SandboxUnavailableError: there is nothing that the environment could be run in.
    """
    assert source.code is not None
    begun = False
    with Sandbox.start() as sandbox:
        for number in range(source.size):
            state: dict[str, JsonValue] = {
                "code": source.code.model_dump(),
                "seconds": source.code_seconds,
                "options": dict(source.options),
                "seed": seed * 1_000_003 + number,
            }
            try:
                posed = _pose(source, number, state, play_own(state, [], sandbox))
                begun = True
                yield posed
            except (OwnCodeError, RowError) as error:
                fault = error if isinstance(error, RowError) else RowError("reset", str(error))
                if number + 1 >= _TRIED and not begun:
                    raise ProblemSourceError(
                        f"{source.name}: {source.environment} begins with none of {_TRIED} seeds: "
                        f"{fault}"
                    ) from None
                yield fault


def _pose(
    source: EnvironmentSource, number: int, state: dict[str, JsonValue], begun: dict[str, JsonValue]
) -> OwnProblem:
    messages = read_messages({"prompt": begun["first"]}, "")
    problem = Problem(
        problem_id=str(number),
        family=source.name,
        group=source.group,
        messages=messages,
        tools=read_tools(begun["tools"]),
        environment=OWN,
        state=state,
        verifier="own_environment",
        max_turns=source.max_turns,
        max_tokens=source.max_tokens,
    )
    # Two seeds may begin alike and hide different things.
    return OwnProblem(problem, f"{key_of(messages)} {state['seed']}", None)
