"""The expert's side of a scenario: asks what is missing, checks, insists, says what came of it."""

import json
from typing import Any

from k2core.problems import Call, Say, Script
from k2core.problems.results import UnexpectedResultError
from k2core.tools.evolve import SyntheticTool
from k2core.tools.goals import Planned, Step
from k2core.tools.scenarios import (
    CHECKABLE,
    Scenario,
    answer_text,
    key_of,
    name_values,
    resolve,
)

_MAX_TRIES = 6


def act(scenario: Scenario) -> Script:
    """Play all goals in order."""
    for goal in scenario.goals:
        if goal.details:
            yield Say(f"What is the {' and the '.join(goal.details)}?")
        heard: list[Any] = []
        for step in goal.steps:
            heard.append((yield from _perform(scenario, step, heard)))
        yield Say(_closing(goal, heard))


def _closing(goal: Planned, heard: list[Any]) -> str:
    return f"It is {answer_text(heard[-1])}." if goal.asks else "Done."


def _perform(scenario: Scenario, step: Step, heard: list[Any]) -> Any:
    """One step: again while busy or cut; after a timeout, look before doing it twice."""
    tool = scenario.tools[key_of(step.operation, step.fixed)]
    call = Call(tool.spec.name, name_values(tool, step, heard))
    for _ in range(_MAX_TRIES):
        result = _read((yield call))
        if "result" in result and not result.get("partial"):
            return result["result"]
        if result.get("error") == "timeout" and step.operation in CHECKABLE:
            done = yield from _look(scenario, step, heard)
            if done is not None:
                return done
        elif result.get("error") not in ("busy", "timeout", None):
            break
    raise UnexpectedResultError(f"{tool.spec.name}: {result}")


def _look(scenario: Scenario, step: Step, heard: list[Any]) -> Any:
    """Whether a change was made: the record as it is, read with the tool that shows all of it."""
    show = scenario.tools[key_of("show", {"table": step.fixed["table"]})]
    call = Call(show.spec.name, _identity(show, resolve(step.values[0], heard)))
    for _ in range(_MAX_TRIES):
        result = _read((yield call))
        if "result" in result:
            record = result["result"]
            if not isinstance(record, dict):
                raise UnexpectedResultError(f"{show.spec.name}: {record}")
            field = str(step.fixed.get("field", "state"))
            wanted = step.values[1] if step.operation == "set_field" else step.fixed["after"]
            return "ok" if record.get(field) == wanted else None
    return None


def _read(heard: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(heard)
    except ValueError:  # the user's words, where a result was to come
        raise UnexpectedResultError(heard) from None
    return found


def _identity(show: SyntheticTool, identity: Any) -> dict[str, Any]:
    names: Any = show.tool.binding["arguments"]
    return {names[0]: identity}
