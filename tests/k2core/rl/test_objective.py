"""K2's objective against numbers worked out by hand and against autograd on a toy policy."""

import math

import pytest
import torch

from k2core.agents import Dialogue, Segment
from k2core.chat import EncodedDialogue
from k2core.rl.batches import build_batch, policy_rows, text_rows
from k2core.rl.objective import policy_loss
from k2core.rl.objectives.k2 import SquaredLogRatio
from k2core.rl.samples import Sample
from schemas.chat import Message, Problem
from schemas.objective import ObjectiveConfig

PROBLEM = Problem(
    problem_id="f/train/0",
    family="f",
    group="math",
    messages=(Message(role="user", content="?"),),
    verifier="integer_answer",
)


def sample(ids: list[int], written: list[int], old: list[float], advantage: float) -> Sample:
    segments = [Segment([i], [p] if w else None) for i, w, p in zip(ids, written, old, strict=True)]
    said = Dialogue(PROBLEM, (), tuple(segments), {}, "answered", 0, "sha256:0")
    return Sample(said, advantage=advantage)


def k2(tau: float) -> SquaredLogRatio:
    return SquaredLogRatio(ObjectiveConfig(tau=tau))


def test_loss_by_hand() -> None:
    # log ratios 0.5 and -1, advantages 0.5 and -0.5, tau 0.2: (0.4^2 + (-0.3)^2) / 2 = 0.125
    rows = policy_rows(
        [
            sample([1, 2, 3], [0, 1, 1], [0.0, -1.0, -1.5], 0.5),
            sample([1, 4, 3], [0, 0, 1], [0.0, 0.0, -1.0], -0.5),
        ],
        2,
        1.0,
    )
    batch = build_batch(rows, pad_id=0, num_ranks=1)
    share = policy_loss(torch.tensor([[-1.0, -1.0], [-7.0, -2.0]]), batch, k2(0.2))
    assert float(share.loss) == pytest.approx(0.125)
    assert share.metrics["log_ratio"] == pytest.approx(-0.25)
    # |gaps| a token: (0 + 0.5) / 2 and 1; r - 1 - log r a token: (e^0.5 - 1.5) / 2 and e^-1
    assert share.metrics["token_gap"] == pytest.approx(0.625)
    kl = ((math.exp(0.5) - 1.5) / 2 + math.exp(-1)) / 2
    assert share.metrics["kl"] == pytest.approx(kl)


def test_text_loss_is_the_weighted_mean_of_its_own_tokens() -> None:
    rows = text_rows([EncodedDialogue([1, 2, 3], [0, 1, 1]), EncodedDialogue([1, 2], [0, 1])], 0.3)
    batch = build_batch(rows, pad_id=0, num_ranks=1)
    logprobs = torch.tensor([[-6.0, -77.0], [-1.0, -2.0]])
    order = [1, 0] if batch.loss_mask[0].sum() == 2 else [0, 1]
    share = policy_loss(logprobs[order], batch, k2(0.2))
    assert float(share.loss) == pytest.approx(0.3 * (6 + 1 + 2) / 3)
    assert share.metrics["kl"] == 0.0


def test_shares_of_micro_batches_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = policy_rows(
        [sample([1, 2, 3, 4], [0, 1, 0, 1], [0, -1.0, 0, -2.0], a) for a in (0.5, -0.25, -0.25)],
        3,
        1.0,
    ) + text_rows([EncodedDialogue([5, 6, 7], [0, 1, 1])], 0.1)
    batch = build_batch(rows, pad_id=0, num_ranks=1)
    logprobs = -torch.rand(batch.tokens.shape, generator=generator)
    whole = policy_loss(logprobs, batch, k2(0.1))
    parts = [
        policy_loss(logprobs[i : i + 1], batch.select_rows(i, i + 1), k2(0.1)) for i in range(4)
    ]
    assert float(sum(p.loss for p in parts)) == pytest.approx(float(whole.loss))
    for name, value in whole.metrics.items():
        assert sum(p.metrics[name] for p in parts) == pytest.approx(value)


def test_gradient_on_a_toy_is_the_analytic_one() -> None:
    """grad = 2/N sum_i -(tau) (A_i - tau rho_i) grad log pi(y_i), by the chain rule."""
    torch.manual_seed(0)
    logits = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)  # a policy of position
    rows = policy_rows(
        [
            sample([0, 3, 5, 2], [0, 1, 0, 1], [0, -2.0, 0, -1.0], 0.75),
            sample([0, 1, 4, 7], [0, 0, 1, 1], [0, 0, -2.5, -0.5], -0.75),
        ],
        2,
        1.0,
    )
    batch = build_batch(rows, pad_id=0, num_ranks=1).map(
        lambda t: t.double() if t.is_floating_point() else t
    )
    tau = 0.3

    def logprobs_of(policy: torch.Tensor) -> torch.Tensor:
        table = policy.log_softmax(-1)[:3].expand(2, 3, 8)
        return table.gather(2, batch.labels[..., None]).squeeze(2)

    policy_loss(logprobs_of(logits), batch, k2(tau)).loss.backward()
    by_hand = torch.zeros_like(logits)
    probabilities = logits.detach().softmax(-1)
    current = logprobs_of(logits.detach())
    for row in range(2):
        rho = ((current - batch.extra["old_logprobs"]) * batch.loss_mask)[row].sum()
        factor = -2 * tau * (batch.extra["advantage"][row] - tau * rho) / 2
        for position in range(3):
            if batch.loss_mask[row, position]:
                one_hot = torch.zeros(8, dtype=torch.float64)
                one_hot[batch.labels[row, position]] = 1
                by_hand[position] += factor * (one_hot - probabilities[position])
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, by_hand)


def test_optimising_a_toy_finds_the_rewarded_token_and_tau_holds_it_back() -> None:
    """One-token problem, exact expectation: a smaller tau moves further in the same steps."""

    def probability(tau: float) -> float:
        logits = torch.zeros(4, requires_grad=True)
        reward = torch.tensor([0.0, 0.0, 1.0, 0.0])
        rows = policy_rows(
            [
                sample([9, t], [0, 1], [0, math.log(0.25)], float(reward[t]) - 0.25)
                for t in range(4)
            ],
            4,
            1.0,
        )
        batch = build_batch(rows, pad_id=0, num_ranks=1)
        optimizer = torch.optim.Adam([logits], lr=0.05)
        for _ in range(400):
            optimizer.zero_grad()
            logprobs = logits.log_softmax(-1)[batch.labels.squeeze(1)][:, None]
            policy_loss(logprobs, batch, k2(tau)).loss.backward()
            optimizer.step()
        return float(logits.softmax(-1)[2].detach())

    assert probability(0.3) > probability(2.0) > 0.26
    assert probability(0.3) > 0.6


FIRST = torch.tensor([0.3, -0.2], dtype=torch.float64)
"""Logits of a token that decides the reward."""
SECOND = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.0, 2.0]], dtype=torch.float64)
"""After either, logits of a token that decides nothing."""


@pytest.mark.parametrize("temperature", [0.5, 0.8, 1.0, 1.5])
@pytest.mark.parametrize("held", [False, True])
def test_a_token_that_decides_nothing_has_no_gradient_at_any_temperature(
    temperature: float, held: bool
) -> None:
    """Exact expectation over all sequences, each sampled with its probability at a temperature.

    Held, a grammar leaves two of the second token's three, after either first.
    """
    first, second = FIRST.clone().requires_grad_(), SECOND.clone().requires_grad_()
    left = torch.tensor([[1, 1, not held], [not held, 1, 1]]) > 0
    drawn = [
        (FIRST / temperature).softmax(-1),
        (SECOND.masked_fill(~left, -torch.inf) / temperature).softmax(-1),
    ]
    samples = [
        sample(
            [9, a, b],
            [0, 1, 1],
            [0.0, float(drawn[0][a].log()), float(drawn[1][a, b].log())],
            float(a == 0) - float(drawn[0][0]),
        )
        for a in range(2)
        for b in range(3)
        if left[a, b]
    ]

    def masks(dialogue: Dialogue) -> list[bytes]:
        bits = sum(int(may) << token for token, may in enumerate(left[dialogue.token_ids[1]]))
        return [b"", b"", bytes([bits]) if held else b""]

    rows = policy_rows(samples, len(samples), temperature, masks)
    batch = build_batch(rows, pad_id=0, num_ranks=1)
    assert (batch.masks is not None) == held
    batch = batch.map(lambda t: t.double() if t.is_floating_point() else t)
    labels = batch.labels
    probability = drawn[0][labels[:, 0]] * drawn[1][labels[:, 0], labels[:, 1]]
    batch.extra["policy_share"].copy_(probability)
    heat = batch.extra["temperature"][:, None]
    after = second[labels[:, 0]]
    if batch.masks is not None:
        octets = batch.masks[batch.extra["mask"][:, 1], 0]
        bits = torch.stack([octets >> token & 1 for token in range(3)], 1)
        after = after.masked_fill(bits == 0, -torch.inf)
    logprobs = torch.stack(
        [
            (first / heat).log_softmax(-1).gather(1, labels[:, :1])[:, 0],
            (after / heat).log_softmax(-1).gather(1, labels[:, 1:])[:, 0],
        ],
        dim=1,
    )
    policy_loss(logprobs, batch, k2(0.1)).loss.backward()
    assert first.grad is not None
    assert second.grad is not None
    assert float(first.grad[0]) < -1e-3
    torch.testing.assert_close(second.grad, torch.zeros_like(second), atol=1e-8, rtol=0)


def test_the_expectation_is_over_all_problems_asked() -> None:
    """arXiv:2507.20534, section 3.2: two informative samples of 192 count 1/192 each."""
    rows = policy_rows([sample([1, 2], [0, 1], [0.0, -1.0], a) for a in (0.5, -0.5)], 192, 1.0)
    batch = build_batch(rows, pad_id=0, num_ranks=1)
    assert float(policy_loss(torch.full((2, 1), -1.0), batch, k2(0.1)).loss) == pytest.approx(
        2 * 0.25 / 192
    )
