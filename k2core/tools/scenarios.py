"""Agent x tool set x problem: a service's front desk, its tools, and a user who wants things done.

arXiv:2507.20534, section 3.1.1: agents from system prompts and tool sets, tasks from simple to
complex with a rubric each (success criteria, expected tool-use patterns, checkpoints), simulated
users with personas. Problems are drawn from the tools' semantics, so that the final state and every
answer are known by executing the plan, and an expert can act.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from k2core.agents.user import word
from k2core.environments import Simulator
from k2core.environments.entities import CHANGES, ENTITIES
from k2core.problems.tools import environment_state
from k2core.tools.evolve import SyntheticTool, list_semantics, make_tool
from k2core.tools.goals import Planned, Step, draw_goal
from k2core.tools.grammar import draw_style
from k2core.tools.ontology import Entity, read_ontology
from k2core.tools.records import draw_tables
from schemas.chat import Goal, Message, Problem, UserSpec

_STYLES = ("plain", "plain", "polite", "terse", "chatty")
_TRAITS = ("in a hurry", "new here", "well prepared", "forgetful", "of few words", "curious")
_RATES: dict[str, JsonValue] = {"busy_rate": 0.08, "partial_rate": 0.4}
_TIMEOUT: dict[str, JsonValue] = {"timeout_rate": 0.08}
"""Success, partial failure and edge cases at controlled rates; a seed replays them."""
CHECKABLE = ("set_field", "advance", "end")
"""Changes that a look at the record tells from one that was not made: only those time out."""


class Scenario(NamedTuple):
    """A problem with what its expert knows."""

    problem: Problem
    goals: tuple[Planned, ...]
    tools: dict[str, SyntheticTool]
    """Semantics' key -> tool."""

    @property
    def difficulty(self) -> int:
        """1 to 5, by the plan's calls, the questions to ask and the tools to choose among."""
        work = sum(len(goal.steps) + bool(goal.details) for goal in self.goals)
        return max(1, min(5, (work + len(self.tools) // 3) // 2))


def draw_scenario(seed: int, index: int) -> Scenario:
    """The index-th scenario."""
    return _draw(seed, index, "train")


def held_out_scenario(seed: int, index: int) -> Scenario:
    """The index-th scenario of services whose tools no training dialogue declares."""
    return _draw(seed, index, "unseen_tools")


def is_unseen(entity: Entity) -> bool:
    """Whether an entity's tools are kept for examinations: about one in eight."""
    return hashlib.sha256(f"unseen {entity.name}".encode()).digest()[0] % 8 == 0


def _draw(seed: int, index: int, split: str) -> Scenario:
    rng = random.Random(f"{seed}/scenario/{split}/{index}")
    unseen = split != "train"
    entity = rng.choice([e for e in read_ontology() if is_unseen(e) == unseen])
    tables = draw_tables(entity, rng)
    shadow = json.loads(json.dumps(tables))
    goals = [draw_goal(entity, shadow, rng) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    tools = draw_tools(entity, goals, rng)
    problem_id = f"scenario/{split}/{seed}-{index}"
    return Scenario(pose(entity, goals, tools, tables, rng, problem_id), tuple(goals), tools)


def draw_tools(
    entity: Entity, goals: Sequence[Planned], rng: random.Random
) -> dict[str, SyntheticTool]:
    """One vendor's: what the plan needs, what to check with, and what is of no use."""
    style = draw_style(rng)
    own = {key_of(s.operation, s.fixed): s for s in list_semantics(entity)}
    needed = {key_of(s.operation, s.fixed) for goal in goals for s in goal.steps}
    needed.add(key_of("show", {"table": entity.name}))
    spare = rng.sample(sorted(own.keys() - needed), rng.randrange(2, 7))
    made: dict[str, SyntheticTool] = {}
    for key in sorted({*needed, *spare}):
        tool = make_tool(entity, own[key], style, rng)
        if tool.spec.name not in {other.spec.name for other in made.values()}:
            made[key] = tool
        elif key in needed:
            return draw_tools(entity, goals, rng)
    return made


def pose(
    entity: Entity,
    goals: Sequence[Planned],
    tools: dict[str, SyntheticTool],
    tables: dict[str, Any],
    rng: random.Random,
    problem_id: str,
) -> Problem:
    """The problem, its expectation found by executing the plan where nothing fails."""
    shown = list(tools.values())
    rng.shuffle(shown)
    bound = [t.tool._replace(binding={**t.tool.binding, **_RATES, **_timeout_of(t)}) for t in shown]
    noun = entity.domain.replace("_", " ")
    role = (
        f"You are the front desk of a {noun} service. Act with the tools; ask for what is missing."
    )
    user = UserSpec(
        persona=f"A customer of the {noun} service, {rng.choice(_TRAITS)}.",
        style=rng.choice(_STYLES),
        goals=tuple(Goal(text=goal.text, details=goal.details) for goal in goals),
    )
    problem = Problem(
        problem_id=problem_id,
        family="scenario",
        group="tools",
        messages=(
            Message(role="system", content=role),
            Message(role="user", content=word(user, goals[0].text)),
        ),
        user=user,
        tools=tuple(t.spec for t in bound),
        environment="entities",
        seed=rng.randrange(2**31),
        state=environment_state(bound, tables),
        verifier="scenario",
        max_turns=3 * sum(len(goal.steps) + 2 for goal in goals) + 4,
        max_tokens=2048,
    )
    return problem.model_copy(update=_expectation(problem, goals, tools))


def _timeout_of(tool: SyntheticTool) -> dict[str, JsonValue]:
    return _TIMEOUT if tool.semantics.operation in CHECKABLE else {}


def _expectation(
    problem: Problem, goals: Sequence[Planned], tools: dict[str, SyntheticTool]
) -> dict[str, Any]:
    tables: Any = problem.state["data"]
    calm = environment_state([t.tool for t in tools.values()], tables)
    simulator = Simulator(ENTITIES, problem.model_copy(update={"state": calm}))
    answers: list[JsonValue] = []
    called: set[str] = set()
    for goal in goals:
        heard: list[Any] = []
        for step in goal.steps:
            tool = tools[key_of(step.operation, step.fixed)]
            result = json.loads(simulator.call(tool.spec.name, name_values(tool, step, heard)))
            heard.append(result["result"])
            called.add(tool.spec.name)
        answers.append(answer_text(heard[-1]) if goal.asks else None)
    changing = {t.spec.name for t in tools.values() if t.semantics.operation in CHANGES}
    must = sorted(called & changing)
    expected: dict[str, JsonValue] = {
        "state": dict(simulator.state),
        "answers": answers,
        "must_call": list(must),
        "must_not_call": [*sorted(changing - called)],
    }
    rubric = (
        "The records end exactly as asked, and no other has changed.",
        *(f"Goal {n}: {goal.text}" for n, goal in enumerate(goals, 1)),
        f"Uses {', '.join(must)}." if must else "Changes nothing.",
    )
    return {"expected": expected, "rubric": rubric}


def key_of(operation: str, fixed: dict[str, JsonValue]) -> str:
    """Semantics as one text."""
    return json.dumps([operation, fixed], sort_keys=True)


def name_values(tool: SyntheticTool, step: Step, heard: Sequence[Any]) -> dict[str, JsonValue]:
    """A step's arguments under the tool's names; `$N` is the result of the N-th step."""
    names: Any = tool.tool.binding["arguments"]
    return dict(zip(names, (resolve(value, heard) for value in step.values), strict=True))


def resolve(value: JsonValue, heard: Sequence[Any]) -> JsonValue:
    """A value, or what an earlier step gave: of a list, its only entry."""
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    found: JsonValue = heard[int(value[1:])]
    return found[0] if isinstance(found, list) else found


def answer_text(result: JsonValue) -> str:
    """A result as the desk says it."""
    if isinstance(result, list):
        return ", ".join(map(str, result)) if result else "none"
    return str(result)
