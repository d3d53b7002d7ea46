"""Tools that are examined apart: nobody trains on them, and an expert solves problems with them."""

import random

import pytest

from k2core.agents import Habits, play_expert
from k2core.problems import (
    FAMILIES,
    Call,
    Posed,
    Say,
    held_out_problems,
    pose_training,
    variant_of,
    vary,
)
from k2core.problems.family import Act, Calls, Script
from k2core.problems.unseen import Unseen, with_unseen_tools
from k2core.rewards import judge_dialogue
from k2core.tools.scenarios import draw_scenario, held_out_scenario
from schemas.chat import Problem
from schemas.problems import DEFAULT_WEIGHTS, ProblemsConfig

CONFIG = ProblemsConfig(families={name: weight or 1.0 for name, weight in DEFAULT_WEIGHTS.items()})
TRAINING = [pose_training(CONFIG, index) for index in range(1200)]
WITH_TOOLS = sorted({problem.family for problem, _ in TRAINING if problem.tools})


def names_of(*problems: Problem) -> set[str]:
    return {tool.name for problem in problems for tool in problem.tools}


def test_no_examined_tool_is_declared_in_training() -> None:
    services = [draw_scenario(0, index).problem for index in range(150)]
    trained = names_of(*(posed.problem for posed in TRAINING), *services)
    varied = vary(held_out_problems(CONFIG), 20)
    examined = [p for p in varied if variant_of(p.problem_id) == "unseen_tools"]
    strange = [held_out_scenario(0, index).problem for index in range(40)]
    assert {problem.family for problem in examined} == set(WITH_TOOLS)
    assert len(names_of(*examined)) > 25
    assert len(names_of(*strange)) > 200
    assert names_of(*examined, *strange) & trained == set()


def rename(call: Call, unseen: Unseen) -> Call:
    spelt = unseen.arguments[call.name]
    arguments = {spelt[seen]: value for seen, value in call.arguments.items()}
    return Call(unseen.names[call.name], arguments)


def renamed(act: Act, unseen: Unseen) -> Act:
    if isinstance(act, Say):
        return act
    if isinstance(act, Calls):
        return Calls(tuple(rename(call, unseen) for call in act.calls))
    return rename(act, unseen)


def translate(script: Script, unseen: Unseen) -> Script:
    """The family's own expert, who knows the tools by their seen names."""
    act = next(script)
    while True:
        heard = yield renamed(act, unseen)
        try:
            act = script.send(heard)
        except StopIteration:
            return


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_the_expert_solves_them(family: str) -> None:
    some: list[Posed] = [posed for posed in TRAINING if posed.problem.family == family][:8]
    for posed in some:
        unseen = with_unseen_tools(posed.problem)
        script = translate(FAMILIES[family].act(posed, shortcut=False), unseen)
        dialogue = play_expert(unseen.problem, script, Habits(insists=True), random.Random(0))
        assert judge_dialogue(dialogue) == (1.0, "")
