"""Every family: the expert's dialogue earns 1, and wrong ones 0."""

import random
from collections.abc import Iterator

import pytest

from k2core.agents import Dialogue, Habits, play_expert
from k2core.problems import FAMILIES, Posed, pose_training
from k2core.rewards import MALFORMED, OVER_BUDGET, VERIFIERS, judge_dialogue, judge_dialogues
from k2core.sandbox import Sandbox
from schemas.chat import Message
from schemas.problems import ProblemsConfig

PER_FAMILY = 6


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


@pytest.fixture(scope="module")
def posed() -> dict[str, list[Posed]]:
    found: dict[str, list[Posed]] = {name: [] for name in FAMILIES}
    config = ProblemsConfig(families=dict.fromkeys(FAMILIES, 1.0))
    for index in range(400):
        problem = pose_training(config, index)
        found[problem.problem.family].append(problem)
    return {name: problems[:PER_FAMILY] for name, problems in found.items()}


def play(posed: Posed, habits: Habits, rng: random.Random) -> Dialogue:
    script = FAMILIES[posed.problem.family].act(posed, shortcut=False)
    return play_expert(posed.problem, script, habits, rng)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("habits", [Habits(), Habits(slips=True)])
def test_gold_earns_one(
    family: str, habits: Habits, posed: dict[str, list[Posed]], sandbox: Sandbox
) -> None:
    rng = random.Random(0)
    dialogues = [play(p, habits, rng) for p in posed[family]]
    assert len(dialogues) == PER_FAMILY
    assert judge_dialogues(dialogues, sandbox) == [(1.0, "")] * PER_FAMILY


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_wrong_outcomes_earn_nothing(
    family: str, posed: dict[str, list[Posed]], sandbox: Sandbox
) -> None:
    rng = random.Random(0)
    for problem in posed[family]:
        right = play(problem, Habits(), rng)
        assert right.problem.verifier in VERIFIERS
        if family != "transfer" or right.problem.expected.get("state"):
            wrong = play(problem, Habits(fails=True), rng)
            assert judge_dialogue(wrong, sandbox).reward == 0.0
        for text in ("", "I do not know.", "-987654321"):
            said = (*right.messages[:-1], Message(role="assistant", content=text))
            if right.problem.verifier != "final_state":
                assert judge_dialogue(right._replace(messages=said), sandbox).reward == 0.0
        untouched = right._replace(messages=right.messages[: len(problem.problem.messages)])
        assert judge_dialogue(untouched, sandbox).reward == 0.0
        cut = right._replace(stop_reason="token_budget")
        assert judge_dialogue(cut, sandbox) == (0.0, OVER_BUDGET)
        broken = right._replace(stop_reason="malformed")
        assert judge_dialogue(broken, sandbox) == (0.0, MALFORMED)
