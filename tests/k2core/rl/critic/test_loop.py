"""The closed loop: on-policy pairs measure the critic, then refresh it; a resumed run agrees."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from k2core.chat import EncodedDialogue
from k2core.critic import OrderedPair, PreferencePair, Template, load_rubric
from k2core.critic.template import Letter
from k2core.rewards import MALFORMED, OVER_BUDGET
from k2core.rl.critic import CriticJudge, CriticLoop
from k2core.rl.critic.loop import measure_agreement, pairs_of_samples
from k2core.rl.critic.start import check_rubrics, verified
from k2core.rl.history import History
from k2core.rl.loop import run_iterations
from k2core.rl.practice import Practice
from schemas.rl import RlConfig
from schemas.rubrics import RUBRIC, CriticConfig
from tests.k2core.rl.critic.test_rewards import posed, said
from tests.k2core.rl.test_loop import (
    CONFIG,
    K2,
    POOL,
    ToyEngine,
    ToyLearner,
    judge,
    logged,
    workspace,
)

CRITIC = CriticConfig(decoys=1, refresh_weight=0.02, refresh_pairs=12, frozen_every=1)
TALK = [
    POOL[0].model_copy(update={"problem_id": f"talk/train/{n}", "family": "talk", "expected": {},
                               "verifier": RUBRIC, "messages": POOL[n].messages})
    for n in range(4)
]  # fmt: skip


class ToyTemplate(Template):
    """A judgement is a row of the toy's table: the question, then the better answer's number."""

    def __init__(self) -> None:
        self.rubric = load_rubric()

    def encode_example(self, comparison: OrderedPair, better: Letter) -> EncodedDialogue:
        question = int(comparison.problem.messages[0].content) % 4
        answer = int(comparison.first if better == "A" else comparison.second)
        return EncodedDialogue([question, answer], [0, 1])


def toy_critic(engine: ToyEngine, config: CriticConfig = CRITIC) -> Practice:
    """The toy policy as its own critic: it prefers what it would rather say."""
    start = {name: tensor.clone() for name, tensor in engine.tensors.items()}

    def prefer(comparisons: Sequence[OrderedPair]) -> list[float | None]:
        assert engine.awake
        found = list[float | None]()
        for comparison in comparisons:
            row = engine.tensors["table"][int(comparison.problem.messages[0].content) % 4]
            texts = (comparison.first, comparison.second)
            if not all(text in {"0", "1", "2", "3"} for text in texts):
                found.append(None)
                continue
            first, second = (row[int(text)] for text in texts)
            found.append(float(torch.sigmoid(first - second)))
        return found

    def freeze() -> None:
        engine.tensors = dict(start)

    ranked = CriticJudge(config, load_rubric(), prefer, judge, 0)
    loop = CriticLoop(config, ToyTemplate(), prefer, freeze, ranked, 0)
    settings = CONFIG.model_copy(update={"critic": config})
    pool = [*POOL, *TALK]
    return Practice(
        settings, K2, pool, POOL, [], ToyLearner(), engine, engine.play, ranked, 0, 1, loop
    )


def curve(history: History, name: str) -> list[float]:
    return [i.critic[name] for i in history.iterations if name in i.critic]


def test_a_refreshed_critic_comes_to_agree_and_a_frozen_one_does_not(tmp_path: Path) -> None:
    history = run_iterations(toy_critic(ToyEngine()), workspace(tmp_path))
    found, frozen = curve(history, "agreement"), curve(history, "frozen_agreement")
    assert found[0] == frozen[0] == 0.5  # zeros cannot tell anything apart
    assert set(frozen) == {0.5}
    assert len(frozen) == len(found) >= 2
    assert found[-1] > 0.8
    assert sum(curve(history, "groups")) > 0
    assert history.iterations[0].curves()["critic/agreement"] == 0.5
    assert "talk" in history.iterations[0].rewards | history.iterations[1].rewards


def test_a_killed_run_with_a_critic_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole = run_iterations(toy_critic(ToyEngine()), workspace(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_iterations(toy_critic(ToyEngine(fail_at=8)), workspace(tmp_path / "killed"))
    again = run_iterations(toy_critic(ToyEngine()), workspace(tmp_path / "killed"))
    assert again == whole
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


def test_weight_nothing_refreshes_nothing_and_is_measured_still(tmp_path: Path) -> None:
    config = CRITIC.model_copy(update={"refresh_weight": 0.0})
    practice = toy_critic(ToyEngine(), config)
    history = run_iterations(practice, workspace(tmp_path))
    assert practice.critic
    assert practice.critic.rows() == []
    assert curve(history, "agreement")


def test_pairs_are_of_finished_answers_one_verified_and_one_refused() -> None:
    easy, talk = posed("text_answer", 1), posed(number=2)
    passed, failed = said("4", easy)._replace(passed=True), said("5", easy)
    group = [passed, failed, said("4 or 5", easy)]
    group += [said("6", easy)._replace(reason=reason) for reason in (OVER_BUDGET, MALFORMED)]
    ranked = [said("p", talk)._replace(passed=True)] * 4 + [said("pp", talk)]
    pairs = pairs_of_samples(group + ranked, 9, random.Random(0))
    assert pairs == [PreferencePair(easy, "4", "4 or 5"), PreferencePair(easy, "4", "5")]
    assert len(pairs_of_samples(group, 1, random.Random(0))) == 1


def test_agreement_by_hand() -> None:
    pairs = [
        PreferencePair(posed("text_answer"), right, "x") for right in ("yes", "no", "place", "mute")
    ]

    def prefer(comparisons: Sequence[OrderedPair]) -> list[float | None]:
        answers: dict[str, tuple[float | None, float | None]] = {
            "yes": (0.9, 0.2), "no": (0.1, 0.7), "place": (0.8, 0.8), "mute": (0.9, None),
        }  # fmt: skip
        return [
            answers[c.first][0] if c.first != "x" else answers[c.second][1] for c in comparisons
        ]

    found = measure_agreement(prefer, pairs, 0.0)
    assert found == {"agreement": (1 + 0 + 0.5 + 0.5) / 4, "order_bias": 0.25}


def test_both_orders_of_a_pair_are_learned(tmp_path: Path) -> None:
    practice = toy_critic(ToyEngine())
    right, wrong = said("0", POOL[0])._replace(passed=True), said("3", POOL[0])
    assert practice.critic
    practice.critic.observe([right, wrong], 1)
    rows = practice.critic.rows()
    assert [row.ids for row in rows] == [[0, 0], [0, 0]]
    assert sum(row.text_share * sum(row.mask) for row in rows) == pytest.approx(0.02)


def test_problems_without_a_verifier_need_a_critic() -> None:
    with pytest.raises(ValueError, match=r"4 training problems, such as talk/train/0, .*rl.critic"):
        check_rubrics(RlConfig(), [*POOL, *TALK])
    check_rubrics(RlConfig(critic=CRITIC), [*POOL, *TALK])
    check_rubrics(RlConfig(), POOL)
    strange = TALK[0].model_copy(update={"expected": {"context": "odes"}})
    with pytest.raises(ValueError, match=r"talk/train/0: context: 'odes'"):
        check_rubrics(RlConfig(critic=CRITIC), [strange])
    assert verified([*POOL, *TALK]) == POOL
