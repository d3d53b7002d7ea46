"""Scenarios: solvable as planned, verified whole, and spoiled only by whose fault it is."""

import random
from collections import Counter

import pytest

from k2core.agents import Dialogue, Habits, play_expert
from k2core.environments import open_environment
from k2core.rewards import judge_dialogue
from k2core.synthesize.faults import Forgetful, Garbling, SilentUser
from k2core.synthesize.judge import Judge
from k2core.synthesize.scenario_expert import act
from k2core.synthesize.trajectories import Conditions, play, sample_scenario
from k2core.tools.scenarios import Scenario, draw_scenario
from schemas.chat import Message
from schemas.synthesize import SynthesizeConfig

SCENARIOS = [draw_scenario(0, index) for index in range(150)]
CALM = Conditions(Habits())
JUDGE = Judge(None)  # type: ignore[arg-type]  # no code is judged here


def solve(scenario: Scenario, conditions: Conditions = CALM) -> Dialogue:
    return play(scenario.problem, act(scenario), conditions, random.Random(0))


def test_the_plan_solves_every_scenario_through_busy_and_timed_out_answers() -> None:
    heard: Counter[str] = Counter()
    for scenario in SCENARIOS:
        dialogue = solve(scenario)
        assert JUDGE.judge(dialogue) == (1.0, ""), scenario.problem.problem_id
        text = "".join(m.content for m in dialogue.messages if m.role == "tool")
        heard.update(word for word in ("busy", "timeout") if word in text)
    assert heard["busy"] > 3, heard
    assert heard["timeout"] > 3, heard


def test_the_same_seed_replays_bit_for_bit_and_scenarios_differ() -> None:
    for index, scenario in enumerate(SCENARIOS[:30]):
        assert draw_scenario(0, index) == scenario
        assert solve(scenario) == solve(scenario)
    agents = {(s.problem.messages[0].content, str(s.problem.tools)) for s in SCENARIOS}
    assert len(agents) > 140
    assert {s.difficulty for s in SCENARIOS} >= {1, 2, 3, 4}
    assert any(len(s.goals) == 3 for s in SCENARIOS)
    assert any(goal.details for s in SCENARIOS for goal in s.goals)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_slip_is_mended_in_every_scenario(seed: int) -> None:
    slips = Conditions(Habits(slips=True))
    for scenario in SCENARIOS:
        dialogue = play(scenario.problem, act(scenario), slips, random.Random(seed))
        assert JUDGE.judge(dialogue) == (1.0, ""), scenario.problem.problem_id
    assert any(not goal.steps[0].values for s in SCENARIOS for goal in s.goals)


def test_scenarios_come_out_of_the_stages_own_draws() -> None:
    config = SynthesizeConfig(slip_frac=0.3, failure_frac=0.3, outage_frac=0.2)
    for index in range(200):
        samples = sample_scenario(config, index, JUDGE)
        assert samples[-1].accepted or len(samples) == config.max_attempts


def test_who_does_nothing_earns_no_full_reward() -> None:
    for scenario in SCENARIOS:
        judged = JUDGE.judge(solve(scenario, Conditions(Habits(fails=True))))
        assert judged.reward < 1
        assert judged.fault == "agent"


def test_collateral_damage_is_seen() -> None:
    scenario = next(s for s in SCENARIOS if s.problem.expected["must_not_call"])
    dialogue = solve(scenario)
    table = next(iter(dialogue.state))
    other = {**dialogue.state, table: {**dict(dialogue.state[table]), "x_9": {}}}  # type: ignore[arg-type]
    verdict = judge_dialogue(dialogue._replace(state=other))
    assert verdict.reason == "wrong_state"
    called = Message(role="tool", content='{"result":"ok"}', tool_call_id="functions.a:0")
    name = scenario.problem.expected["must_not_call"][0]  # type: ignore[index]
    stray = dialogue._replace(
        messages=(*dialogue.messages, called.model_copy(update={"name": name}))
    )
    assert judge_dialogue(stray).reason == f"called {name}"


@pytest.mark.parametrize("broken", ["garbles", "forgets", "silent"])
def test_planted_faults_are_not_blamed_on_the_agent(broken: str) -> None:
    blamed: Counter[str] = Counter()
    for index, scenario in enumerate(SCENARIOS):
        problem, rng = scenario.problem, random.Random(index)
        environment, user = open_environment(problem), None
        if broken == "garbles":
            environment = Garbling(environment, rng)
        elif broken == "forgets":
            environment = Forgetful(environment)
        else:
            user = SilentUser()
        dialogue = play_expert(problem, act(scenario), Habits(), rng, environment, user)
        judged = JUDGE.judge(dialogue)
        if judged.reason:
            blamed[judged.fault] += 1
    side = "user" if broken == "silent" else "environment"
    assert blamed.total() > 30
    assert blamed[side] >= 0.95 * blamed.total(), blamed


def test_a_list_may_come_in_part_and_says_so() -> None:
    tool = {"operation": "list_all", "arguments": [], "fixed": {"table": "t"}, "partial_rate": 1.0}
    state = {"tools": {"list": tool}, "data": {"t": {"a": {}, "b": {}, "c": {}}}}
    problem = SCENARIOS[0].problem.model_copy(update={"state": state})
    assert open_environment(problem).call("list", {}) == '{"result":["a"],"partial":true}'
