"""A failure is blamed on the side that caused it."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from bench.attribution import PLANTS, blame
from k2core.agents import Habits
from k2core.chat import validate_dialogue
from k2core.problems import FAMILIES, Posed, pose_training
from k2core.sandbox import CodeRunner, Sandbox
from k2core.synthesize.judge import Judge, Judgement
from k2core.synthesize.trajectories import Conditions
from k2core.synthesize.trajectories import play as play_attempt
from schemas.problems import ProblemsConfig

WITH_TOOLS = [
    name
    for name in FAMILIES
    if pose_training(ProblemsConfig(families={name: 1.0}), 0).problem.tools and name != "no_tool"
]
IN_TWO_TURNS = ["sum_with_tool", "lookup", "transfer", "compare"]
NUM_EACH = 25


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Sandbox.start() as sandbox:
        yield Judge(sandbox)


def pose(name: str, index: int, two_turn_frac: float = 0.0) -> Posed:
    return pose_training(ProblemsConfig(families={name: 1.0}, two_turn_frac=two_turn_frac), index)


def play(judge: Judge, posed: Posed, conditions: Conditions) -> Judgement:
    script = FAMILIES[posed.problem.family].act(posed, shortcut=conditions.shortcut)
    dialogue = play_attempt(posed.problem, script, conditions, random.Random(0))
    validate_dialogue(dialogue.messages)
    return judge.judge(dialogue)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_faultless_dialogue_is_accepted(judge: Judge, name: str) -> None:
    for index in range(3 if FAMILIES[name].group == "code" else NUM_EACH):
        assert play(judge, pose(name, index), Conditions(Habits())) == (1.0, "")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_wrong_answer_is_the_agents_fault(judge: Judge, name: str) -> None:
    for index in range(3 if FAMILIES[name].group == "code" else NUM_EACH):
        reward, reason = play(judge, pose(name, index), Conditions(Habits(fails=True)))
        assert reward < 1
        assert reason.startswith("agent: ")


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_dead_server_is_the_environments_fault(judge: Judge, name: str) -> None:
    outage = Conditions(Habits(insists=True), outage=True)
    for index in range(NUM_EACH):
        assert play(judge, pose(name, index), outage) == (0.0, "environment: busy to the end")


@pytest.mark.parametrize("name", IN_TWO_TURNS)
def test_a_goal_never_told_is_the_users_fault(judge: Judge, name: str) -> None:
    silent = Conditions(Habits(), silent_user=True)
    told = [p for i in range(NUM_EACH) if (p := pose(name, i, 1.0)).problem.follow_ups]
    assert told
    for posed in told:
        assert play(judge, posed, silent) == (0.0, "user: never told the goal")


def test_an_old_copy_that_misled_is_the_agents_fault(judge: Judge) -> None:
    hasty = [play(judge, pose("retry", i), Conditions(Habits(), shortcut=True)) for i in range(99)]
    assert {reason for _, reason in hasty} == {"", "agent: trusted an old copy"}


def test_claiming_what_was_not_done_is_told_from_doing_the_wrong_thing(judge: Judge) -> None:
    failed = play(judge, pose("transfer", 0), Conditions(Habits(fails=True)))
    assert failed == (0.0, "agent: claimed what it did not do")


def test_equal_answers_to_equal_tests_run_once(judge: Judge) -> None:
    class Counting:
        def __init__(self, sandbox: CodeRunner) -> None:
            self.sandbox, self.calls = sandbox, 0

        def __getattr__(self, name: str) -> object:
            self.calls += 1
            return getattr(self.sandbox, name)

    counting = Counting(judge.sandbox)
    once: Judge = Judge(counting)  # type: ignore[arg-type]
    posed = pose("linear_function", 0)
    found = [play(once, posed, Conditions(Habits())) for _ in range(3)]
    assert found == [(1.0, "")] * 3
    assert counting.calls == 1


def test_planted_faults_are_blamed_on_the_side_that_was_broken(judge: Judge) -> None:
    for plant in PLANTS:
        blamed = Counter(blame(plant, judge, 80))
        assert blamed.total() >= 5, plant.what
        assert blamed[plant.side] >= 0.95 * blamed.total(), (plant.what, blamed)
