"""Tools that are examined apart: nobody trains on them, and an expert solves problems with them."""

import random
from collections.abc import Mapping
from typing import cast

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
from k2core.problems.respelling import Respelt
from k2core.problems.unseen import with_unseen_tools
from k2core.rewards import judge_dialogue
from k2core.tools.scenarios import draw_scenario, held_out_scenario
from schemas.chat import Problem
from schemas.problems import DEFAULT_WEIGHTS, ProblemsConfig

CONFIG = ProblemsConfig(
    families={name: weight or 1.0 for name, weight in DEFAULT_WEIGHTS.items()}, reworded_frac=0.0
)
REWORDED = CONFIG.model_copy(update={"reworded_frac": 1.0})
Words = Mapping[str, object]
TRAINING = [pose_training(CONFIG, index) for index in range(1200)]
WITH_TOOLS = sorted({problem.family for problem, _ in TRAINING if problem.tools})


def names_of(*problems: Problem) -> set[str]:
    return {tool.name for problem in problems for tool in problem.tools}


def words_of(*problems: Problem) -> set[str]:
    """Names of tools and arguments, and descriptions."""
    specs = [tool for problem in problems for tool in problem.tools]
    arguments = {name for tool in specs for name in cast(Words, tool.parameters["properties"])}
    return arguments | {tool.description for tool in specs} | names_of(*problems)


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
    reworded = [pose_training(REWORDED, index).problem for index in range(1200)]
    assert (
        words_of(*examined) & words_of(*(posed.problem for posed in TRAINING), *reworded) == set()
    )


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_the_expert_reads_what_each_problem_calls_its_tools(family: str) -> None:
    config = REWORDED.model_copy(update={"families": {family: 1.0}})
    posed = [pose_training(config, index) for index in range(40)]
    assert posed == [pose_training(config, index) for index in range(40)]
    plain = config.model_copy(update={"reworded_frac": 0.0})
    for index, (problem, content) in enumerate(posed):
        first = pose_training(plain, index)
        assert content == first.content
        assert len(names_of(problem)) == len(problem.tools) == len(first.problem.tools)
        script = FAMILIES[family].act(Posed(problem, content), shortcut=False)
        dialogue = play_expert(problem, script, Habits(insists=True), random.Random(0))
        assert judge_dialogue(dialogue) == (1.0, "")
    assert len(names_of(*(problem for problem, _ in posed))) > 30


def rename(call: Call, unseen: Respelt) -> Call:
    spelt = unseen.arguments[call.name]
    arguments = {spelt[seen]: value for seen, value in call.arguments.items()}
    return Call(unseen.names[call.name], arguments)


def renamed(act: Act, unseen: Respelt) -> Act:
    if isinstance(act, Say):
        return act
    if isinstance(act, Calls):
        return Calls(tuple(rename(call, unseen) for call in act.calls))
    return rename(act, unseen)


def translate(script: Script, unseen: Respelt) -> Script:
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
