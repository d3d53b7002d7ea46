"""Rewards, advantages, batches and the choice of problems."""

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from k2core.agents import Dialogue, Segment
from k2core.chat import EncodedDialogue
from k2core.engines.megatron.folding import fold_rows
from k2core.rewards import MALFORMED, OVER_BUDGET, Verdict
from k2core.rl.batches import build_batch, policy_rows, text_rows
from k2core.rl.objectives.registry import load_objective
from k2core.rl.priority import SeenProblem, Successes, choose_problems
from k2core.rl.samples import Sample, learnable, penalties_of, score, split_updates
from schemas.chat import Message, Problem
from schemas.objective import ObjectiveConfig
from schemas.rl import RlConfig

CENTRED = load_objective(ObjectiveConfig()).advantages
PENALTIES = penalties_of(-0.5, -0.5)


def problem(number: int, family: str = "f") -> Problem:
    return Problem(
        problem_id=f"{family}/train/{number}",
        family=family,
        group="math",
        messages=(Message(role="user", content="?"),),
        verifier="integer_answer",
    )


def sample(number: int = 0, length: int = 3) -> Sample:
    ids = list(range(1, length + 1))
    segments = (Segment(ids[:1], None), Segment(ids[1:], [-0.5] * (length - 1)))
    return Sample(Dialogue(problem(number), (), segments, {}, "answered", 0, "sha256:0"))


def test_score_by_hand() -> None:
    verdicts = [Verdict(1.0), Verdict(0.0, "wrong"), Verdict(0.0, OVER_BUDGET), Verdict(1.0)]
    scored = score([sample(0)] * 2 + [sample(1)] * 2, verdicts, PENALTIES, CENTRED).samples
    assert [s.reward for s in scored] == [1.0, 0.0, -0.5, 1.0]
    assert [s.advantage for s in scored] == [0.5, -0.5, -0.75, 0.75]
    assert [s.passed for s in scored] == [True, False, False, True]


def test_breaking_the_format_never_pays() -> None:
    """Seven over budget and one malformed: by the malformed one's old reward of 0 it had won."""
    verdicts = [*[Verdict(0.0, OVER_BUDGET)] * 7, Verdict(0.0, MALFORMED)]
    scored = score([sample()] * 8, verdicts, penalties_of(-0.25, -0.25), CENTRED).samples
    assert [s.advantage for s in scored] == [0.0] * 8
    harsher = score([sample()] * 8, verdicts, penalties_of(-0.25, -0.5), CENTRED).samples
    assert harsher[-1].advantage < 0 < harsher[0].advantage
    with pytest.raises(ValidationError, match="breaking the format would pay"):
        RlConfig(over_budget_reward=-0.25, malformed_reward=-0.1)


@pytest.mark.parametrize(
    ("logprob", "verdict", "reason"),
    [
        (-0.5, Verdict.faulty("no answer from the server"), "no answer from the server"),
        (math.nan, Verdict(1.0), "log p that is not finite"),
        (math.inf, Verdict(0.0, "wrong"), "log p that is not finite"),
        (-math.inf, Verdict(0.0, "wrong"), "log p that is not finite"),
    ],
)
def test_a_group_with_a_faulty_sample_is_left_out_and_counted(
    logprob: float, verdict: Verdict, reason: str
) -> None:
    broken = sample(1)
    written = broken.dialogue.segments[1]._replace(logprobs=[logprob, -0.5])
    segments = (broken.dialogue.segments[0], written)
    broken = broken._replace(dialogue=broken.dialogue._replace(segments=segments))
    samples = [sample(0), sample(0), sample(1), broken]
    scored = score(samples, [Verdict(1.0), Verdict(0.0), Verdict(1.0), verdict], PENALTIES, CENTRED)
    assert [s.advantage for s in scored.samples] == [0.5, -0.5]
    ((said, count),) = scored.dropped.items()
    assert reason in said
    assert count == 1


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4))
def test_advantages_sum_to_zero_and_uniform_groups_teach_nothing(rewards: list[float]) -> None:
    scored = score([sample()] * 4, [Verdict(r, "x") for r in rewards], PENALTIES, CENTRED).samples
    assert sum(s.advantage for s in scored) == pytest.approx(0.0)
    assert len(learnable(scored)) == (0 if len(set(rewards)) == 1 else 4)


def test_updates_get_whole_problems_and_lose_none() -> None:
    samples = [sample(n) for n in range(5) for _ in range(2)]
    parts = split_updates(samples, 3)
    assert [[s.problem.problem_id[-1] for s in part] for part in parts] == [
        ["0", "0", "3", "3"],
        ["1", "1", "4", "4"],
        ["2", "2"],
    ]
    assert split_updates(samples[:2], 3) == [samples[:2]]


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_batch_keeps_rows_and_shifts_labels(num_ranks: int) -> None:
    rows = policy_rows([sample(n, length=n + 2) for n in range(5)], 10, 0.8)
    batch = build_batch(rows, pad_id=0, num_ranks=num_ranks)
    assert batch.tokens.shape == (5, 5)
    widths = (batch.segments == 0).sum(1).tolist()
    assert sorted(widths) == [1, 2, 3, 4, 5]
    for index, width in enumerate(widths):
        assert batch.tokens[index, :width].tolist() == list(range(1, width + 1))
        assert batch.labels[index, :width].tolist() == list(range(2, width + 2))
        assert batch.loss_mask[index].tolist() == [1.0] * width + [0.0] * (5 - width)
        assert batch.extra["old_logprobs"][index, :width].tolist() == [-0.5] * width
    assert float(batch.extra["policy_share"].sum()) == pytest.approx(0.5)  # 5 of 10 asked
    assert batch.extra["temperature"].tolist() == pytest.approx([0.8] * 5)
    assert torch.equal(batch.segments == -1, batch.loss_mask == 0)


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_a_problems_samples_stand_together_and_texts_alone(num_ranks: int) -> None:
    asked = [sample(n, length=5 - n + k) for n in range(4) for k in (2, 1)]
    texts = text_rows([EncodedDialogue([1, 2], [0, 1]), EncodedDialogue([1, 2], [0, 1])], 0.1)
    batch = build_batch(policy_rows(asked, 8, 1.0) + texts, pad_id=0, num_ranks=num_ranks)
    groups = batch.extra["group"].tolist()
    widths = (batch.segments == 0).sum(1).tolist()
    found = list(zip(groups, widths, strict=True))
    one, two = [(0, 1), (1, 1)], [(n, w) for n in range(2, 6) for w in (n, n + 1)]
    if num_ranks == 1:
        assert found == one + two
    else:  # each rank its half: nine tokens, where each problem's are laid into one row, and a text
        assert found == [one[0], *two[:2], *two[6:], one[1], *two[2:6]]


def test_ranks_get_equal_rows_and_about_equal_work() -> None:
    rng = random.Random(0)
    asked = [sample(n, length=length) for n in range(9) for length in [rng.randint(2, 90)] * 8]
    lengths = [rng.randint(20, 200) for _ in range(24)]
    texts = text_rows([EncodedDialogue([7] * n, [0, *[1] * (n - 1)]) for n in lengths], 0.1)
    batch = build_batch(policy_rows(asked, 72, 1.0) + texts, pad_id=0, num_ranks=2)
    halves = [batch.select_rows(0, 48), batch.select_rows(48, 96)]
    work = [fold_rows(half).tokens.numel() for half in halves]
    assert max(work) < 1.05 * min(work)
    groups = [set(half.extra["group"].tolist()) for half in halves]
    assert len(groups[0] & groups[1]) <= 1  # the odd problem is the only one that may be cut


def test_unsolved_problems_are_chosen_more_often() -> None:
    pool = [problem(n, "easy") for n in range(20)] + [problem(n, "hard") for n in range(20)]
    seen = Successes()
    seen = seen.add(SeenProblem(p, [1.0] * 8 if p.family == "easy" else [0.0] * 8) for p in pool)
    rng = random.Random(0)
    chosen = [p for _ in range(200) for p in choose_problems(pool, seen, 8, 0.05, 0.0, rng)]
    hard = sum(p.family == "hard" for p in chosen) / len(chosen)
    assert hard > 0.8
    assert {p.problem_id for p in chosen} == {p.problem_id for p in pool}


def test_problems_that_are_too_hard_get_the_floor() -> None:
    pool = [problem(n, "hopeless") for n in range(20)] + [problem(n, "fair") for n in range(20)]
    seen = Successes()
    fair, hopeless = [1.0] * 4 + [0.0] * 4, [0.0] * 8
    seen = seen.add(SeenProblem(p, fair if p.family == "fair" else hopeless) for p in pool)
    rng = random.Random(0)
    chosen = [p for _ in range(200) for p in choose_problems(pool, seen, 8, 0.05, 0.05, rng)]
    assert sum(p.family == "fair" for p in chosen) / len(chosen) > 0.8


def test_choice_is_without_replacement_and_repeatable() -> None:
    pool = [problem(n) for n in range(10)]
    first = choose_problems(pool, Successes(), 10, 0.05, 0.0, random.Random(1))
    assert sorted(p.problem_id for p in first) == sorted(p.problem_id for p in pool)
    assert first == choose_problems(pool, Successes(), 10, 0.05, 0.0, random.Random(1))
    with pytest.raises(ValueError, match="exceeds the training split's 10"):
        choose_problems(pool, Successes(), 11, 0.05, 0.0, random.Random(1))


def test_successes_survive_json() -> None:
    seen = Successes().add([SeenProblem(problem(1), [1.0, 0.0])])
    again = Successes.model_validate_json(seen.model_dump_json())
    assert again == seen
    assert again.rate(problem(1)) == pytest.approx((1 + 4 * 0.5) / (2 + 4))


def test_config_says_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="a problem's samples stay in one update"):
        RlConfig(problems_per_iteration=2, updates_per_iteration=3)
    with pytest.raises(ValueError, match=r"token_budgets\.f=0 must be at least 1"):
        RlConfig(token_budgets={"f": 0})
