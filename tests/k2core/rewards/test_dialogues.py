"""Many dialogues at a time: each different one is judged once, and each has its own verdict."""

import pytest

from k2core.agents import Dialogue
from k2core.rewards import Outcome, Verdict, dialogues, judge_dialogues
from k2core.rewards.verifiable import verify
from schemas.chat import Message, Problem


def answer(number: int, said: str) -> Dialogue:
    problem = Problem(
        problem_id=f"sum/train/{number}",
        family="sum",
        group="math",
        messages=(Message(role="user", content="?"),),
        verifier="integer_answer",
        expected={"answer": number},
    )
    messages = (*problem.messages, Message(role="assistant", content=said))
    return Dialogue(problem, messages, (), {}, "answered", 0, "weights")


def test_equal_dialogues_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def count(problem: Problem, outcome: Outcome, *rest: object) -> Verdict:
        asked.append((problem.expected["answer"], outcome.messages[-1].content))
        return verify(problem, outcome)

    monkeypatch.setattr(dialogues, "verify", count)
    said = [(1, "1"), (2, "1"), (1, "1"), (1, "2"), (2, "1"), (2, "2")]
    verdicts = judge_dialogues([answer(*each) for each in said])
    assert [v.reward for v in verdicts] == [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    assert sorted(asked) == [(1, "1"), (1, "2"), (2, "1"), (2, "2")]


def test_how_a_dialogue_ended_tells_it_from_its_equal() -> None:
    whole = answer(1, "1")
    broken = whole._replace(stop_reason="malformed")
    lost = whole._replace(stop_reason="faulty", fault="a tool")
    right, malformed, faulty = judge_dialogues([whole, broken, lost])
    assert (right.reward, malformed.reward) == (1.0, 0.0)
    assert faulty.is_faulty
