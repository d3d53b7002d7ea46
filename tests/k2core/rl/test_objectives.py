"""Every objective against values and gradients worked out by hand, in float64."""

import math
from typing import NamedTuple

import pytest
import torch

from k2core.agents import Dialogue, Segment
from k2core.chat import EncodedDialogue
from k2core.rl.batches import build_batch, policy_rows, text_rows
from k2core.rl.objective import policy_loss
from k2core.rl.objectives.registry import OBJECTIVES, load_objective
from k2core.rl.objectives.rule import ObjectiveLosses, PolicyObjective, PolicyRows
from k2core.rl.samples import Sample
from schemas.chat import Message, Problem
from schemas.objective import ObjectiveConfig

NEW = torch.tensor([[-1.0, -0.5], [-2.0, 0.0], [-3.0, 0.0]], dtype=torch.float64)
"""Log pi: a sample of two tokens and two of one."""
RATIO = torch.tensor([[1.1, 1.5], [0.7, 1.0], [1.3, 1.0]], dtype=torch.float64)
MASK = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
ADVANTAGE = torch.tensor([2.0, -1.0, -1.0], dtype=torch.float64)
SUM = math.log(1.1 * 1.5), math.log(0.7), math.log(1.3)
"""Log ratios of the whole samples."""
MEAN = math.sqrt(1.1 * 1.5)
"""Geometric mean of the first sample's ratios."""


class Case(NamedTuple):
    """Losses of the rows, their gradients by log pi, and the share that was clipped."""

    config: ObjectiveConfig
    losses: list[float]
    gradients: list[list[float]]
    clipped: list[float] | None


CASES = [
    # (A - tau sum)^2, and -2 tau (A - tau sum) for each token
    Case(
        ObjectiveConfig(tau=0.5),
        [(2 - SUM[0] / 2) ** 2, (-1 - SUM[1] / 2) ** 2, (-1 - SUM[2] / 2) ** 2],
        [[SUM[0] / 2 - 2] * 2, [1 + SUM[1] / 2, 0], [1 + SUM[2] / 2, 0]],
        None,
    ),
    # -(1.1 * 2 + 1.2 * 2) / 2; -min(-0.7, -0.8); -min(-1.3, -1.2): two of the ratios are clipped
    Case(
        ObjectiveConfig(kind="GRPO"),
        [-2.3, 0.8, 1.3],
        [[-1.1, 0], [0, 0], [1.3, 0]],
        [0.5, 1.0, 0.0],
    ),
    # the same sums over 4 tokens, whatever a sample's length
    Case(
        ObjectiveConfig(kind="DrGRPO", length_scale=4),
        [-1.15, 0.2, 0.325],
        [[-0.55, 0], [0, 0], [0.325, 0]],
        [0.5, 1.0, 0.0],
    ),
    # -s A with s = sqrt(1.1 * 1.5) within 1.5; each token has s A / 2
    Case(
        ObjectiveConfig(kind="GSPO", clip_low=0.2, clip_high=0.5),
        [-2 * MEAN, 0.8, 1.3],
        [[-MEAN, -MEAN], [0, 0], [1.3, 0]],
        [0.0, 1.0, 0.0],
    ),
    # weights 1.1, 1.2, 0.7, 1.2 on A log pi, over a mean of 4/3 tokens
    Case(
        ObjectiveConfig(kind="CISPO"),
        [2.55, -1.05, -2.7],
        [[-1.65, -1.8], [0.525, 0], [0.9, 0]],
        [0.5, 0.0, 1.0],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.config.kind))
def test_losses_and_gradients_by_hand(case: Case) -> None:
    logprobs = NEW.clone().requires_grad_()
    rows = PolicyRows(
        logprobs, NEW - RATIO.log(), MASK, ADVANTAGE, torch.full((3,), 4 / 3, dtype=torch.float64)
    )
    found = load_objective(case.config).losses(rows)
    assert found.losses.tolist() == pytest.approx(case.losses, abs=1e-12)
    (gradients,) = torch.autograd.grad(found.losses.sum(), logprobs)
    torch.testing.assert_close(
        gradients, torch.tensor(case.gradients, dtype=torch.float64), atol=1e-12, rtol=0
    )
    assert (found.clipped is None) == (case.clipped is None)
    if found.clipped is not None:
        assert found.clipped.tolist() == case.clipped


def test_every_objective_has_a_case() -> None:
    assert {case.config.kind for case in CASES} == set(OBJECTIVES)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_row_that_teaches_nothing_has_no_gradient(kind: str) -> None:
    """Where pi is pi_old and the advantage 0: such rows are left out of a single update."""
    logprobs = NEW.clone().requires_grad_()
    rows = PolicyRows(logprobs, NEW, MASK, torch.zeros(3), torch.ones(3))
    loss = load_objective(ObjectiveConfig(kind=kind)).losses(rows).losses.sum()
    (gradients,) = torch.autograd.grad(loss, logprobs)
    assert not gradients.any()


@pytest.mark.parametrize(
    ("kind", "advantages"),
    [
        ("K2", [0.75, -0.25, -0.25, -0.25]),
        ("DrGRPO", [0.75, -0.25, -0.25, -0.25]),
        # deviation sqrt(3)/4
        *((kind, [3**0.5, *[-(3**-0.5)] * 3]) for kind in ("GRPO", "GSPO", "CISPO")),
    ],
)
def test_advantages_by_hand(kind: str, advantages: list[float]) -> None:
    rule = load_objective(ObjectiveConfig(kind=kind))
    assert rule.advantages([1.0, 0.0, 0.0, 0.0]) == pytest.approx(advantages)
    assert rule.advantages([0.1] * 3) == pytest.approx([0.0] * 3, abs=1e-12)


class Reinforce(PolicyObjective):
    """One's own: with a figure of its own in the options."""

    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        weight = rows.advantage * self.config.options["weight"]
        return ObjectiveLosses(-weight * (rows.logprobs * rows.mask).sum(dim=1))


MINE = f"{__name__}:Reinforce"
PROBLEM = Problem(
    problem_id="f/train/0",
    family="f",
    group="math",
    messages=(Message(role="user", content="?"),),
    verifier="integer_answer",
)


def test_ones_own_objective_trains_beside_ptx() -> None:
    config = ObjectiveConfig(kind=MINE, options={"weight": 3.0})
    assert config.source.startswith(f"{MINE}@")
    segments = Segment([1], None), Segment([2, 3], [-1.0, -1.0])
    dialogue = Dialogue(PROBLEM, (), segments, {}, "answered", 0, "w")
    rows = policy_rows([Sample(dialogue, advantage=0.5)], 4, 1.0)
    assert rows[0].mean_tokens == 2.0
    batch = build_batch(rows + text_rows([EncodedDialogue([1, 2], [0, 1])], 0.1), 0, 1)
    logprobs = torch.tensor([[-7.0, 0.0], [-2.0, -4.0]])  # rows by length: the text is the first
    value = policy_loss(logprobs, batch, load_objective(config))
    assert float(value.loss) == pytest.approx(3.0 * 0.5 * 6.0 / 4 + 0.1 * 7.0)


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"kind": "PPO"}, ValueError, "kind"),
        ({"kind": "nowhere.at_all:Mine"}, ValueError, "no module 'nowhere.at_all'"),
        ({"kind": "GRPO", "options": {"beta": 1.0}}, ValueError, "GRPO takes the named fields"),
        ({"kind": f"{__name__}:Missing"}, ValueError, "has no Missing"),
        (
            {"kind": f"{__name__}:Case"},
            TypeError,
            "is no k2core.rl.objectives.rule",
        ),
        (
            {"kind": f"{__name__}:Reinforce", "source": f"{__name__}:Reinforce@0"},
            ValueError,
            "anew",
        ),
    ],
)
def test_a_wrong_objective_is_named(
    config: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        load_objective(ObjectiveConfig.model_validate(config))
