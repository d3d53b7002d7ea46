"""The expert: right by its script, wrong where it is to be wrong."""

import random

import pytest

from k2core.agents import Dialogue, Habits, Session, close_session, play_expert
from k2core.chat import validate_dialogue
from k2core.problems import FAMILIES, pose_training
from k2core.problems.tools import reads_old_copy
from k2core.rewards import Outcome, verify
from schemas.chat import Message
from schemas.problems import ProblemsConfig

NO_CODE = [name for name, family in FAMILIES.items() if family.group != "code"]
CALLING = [n for n in NO_CODE if FAMILIES[n].group == "tools" and n != "no_tool"]
WITH_TOOLS = [*CALLING, "sum_with_tool", "compare"]


def play(name: str, index: int, habits: Habits, *, shortcut: bool = False) -> Dialogue:
    posed = pose_training(ProblemsConfig(families={name: 1.0}), index)
    script = FAMILIES[name].act(posed, shortcut=shortcut)
    return play_expert(posed.problem, script, habits, random.Random(index))


def reward(dialogue: Dialogue) -> float:
    outcome = Outcome(dialogue.messages, dialogue.state, dialogue.over_budget)
    return verify(dialogue.problem, outcome).reward


@pytest.mark.parametrize("name", NO_CODE)
def test_an_expert_is_always_right(name: str) -> None:
    for index in range(60):
        dialogue = play(name, index, Habits())
        assert reward(dialogue) == 1.0, dialogue.messages
        assert dialogue.stop_reason == "answered"
        validate_dialogue(dialogue.messages)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_an_expert_recovers_from_a_slip(name: str) -> None:
    for index in range(60):
        dialogue = play(name, index, Habits(slips=True))
        assert reward(dialogue) == 1.0, dialogue.messages
        results = [m.content for m in dialogue.messages if m.role == "tool"]
        assert '"error":"' in results[0]


@pytest.mark.parametrize("name", NO_CODE)
def test_an_expert_that_is_to_fail_fails(name: str) -> None:
    assert all(reward(play(name, index, Habits(fails=True))) == 0.0 for index in range(60))


@pytest.mark.parametrize("name", ["sum_with_tool", "product_with_tool", "compare"])
def test_a_shortcut_answers_without_a_call_and_is_right(name: str) -> None:
    for index in range(30):
        dialogue = play(name, index, Habits(), shortcut=True)
        assert (dialogue.num_calls, reward(dialogue)) == (0, 1.0)


def test_a_pair_is_looked_up_in_one_message_and_said_beside_its_calls() -> None:
    for index in range(20):
        dialogue = play("lookup_pair", index, Habits(says="One moment."))
        calling = next(m for m in dialogue.messages if m.role == "assistant")
        assert calling.content == "One moment."
        assert [call.id.rpartition(":")[2] for call in calling.tool_calls] == ["0", "1"]
        assert reward(dialogue) == 1.0
        validate_dialogue(dialogue.messages)


def test_an_old_copy_is_right_about_half_of_the_time_and_insisting_always() -> None:
    quick = [play("retry", index, Habits(), shortcut=True) for index in range(300)]
    used = [d for d in quick if any(reads_old_copy(d.problem, m.name or "") for m in d.messages)]
    assert 140 < len(used) < 220
    assert 0.35 < sum(map(reward, used)) / len(used) < 0.65
    assert all(reward(d) == 1.0 for d in quick if d not in used)


def test_who_insists_on_a_dead_server_meets_the_limit_of_turns() -> None:
    posed = pose_training(ProblemsConfig(families={"lookup": 1.0}, two_turn_frac=0.0), 0)
    tools = {n: {**t, "busy_rate": 1.0} for n, t in posed.problem.state["tools"].items()}  # type: ignore[union-attr, dict-item]
    state = {**posed.problem.state, "tools": tools, "max_busy": 99}
    problem = posed.problem.model_copy(update={"state": state})
    script = FAMILIES["lookup"].act(posed, shortcut=False)
    dialogue = play_expert(problem, script, Habits(insists=True), random.Random(0))
    assert dialogue.stop_reason == "turn_limit"
    assert dialogue.num_calls == problem.max_turns


def test_a_session_that_goes_on_has_no_dialogue_yet() -> None:
    config = ProblemsConfig(families={"compare": 1.0}, two_turn_frac=0.0)
    problem = pose_training(config, 0).problem
    session = Session(problem)
    with pytest.raises(RuntimeError, match=f"{problem.problem_id} has not ended"):
        close_session(session, "expert")
    session.reply(Message(role="assistant", content="Done."))
    assert close_session(session, "expert").messages[-1].content == "Done."
