"""K2's policy objective (arXiv:2507.20534, section 3.2), in plain torch.

    L = E_x [ 1/K sum_i ( r(x, y_i) - mean_r(x) - tau log( pi(y_i|x) / pi_old(y_i|x) ) )^2 ]

The log ratio is of whole sequences: the sum over the tokens that the policy itself wrote. There is
no value network; the mean reward of a problem's K samples is the baseline. E_x is over all problems
that were asked: one whose samples all earn alike adds nothing but its share of the mean. Both pi
and pi_old are at the temperature that the samples were drawn at.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch, ObjectiveValue


def advantages(rewards_PK: Tensor) -> Tensor:
    """Rewards r minus mean_r, by problem. P problems, K samples each."""
    return rewards_PK - rewards_PK.mean(dim=1, keepdim=True)


def sequence_log_ratio(logprobs_BS: Tensor, old_BS: Tensor, mask_BS: Tensor) -> Tensor:
    """Log of pi(y|x) / pi_old(y|x), of each row. B rows, S tokens."""
    return ((logprobs_BS - old_BS) * mask_BS).sum(dim=1)


def squared_residuals(advantage_B: Tensor, log_ratio_B: Tensor, tau: float) -> Tensor:
    """( r - mean_r - tau log ratio )^2 of each row."""
    return (advantage_B - tau * log_ratio_B).square()


def policy_objective(logprobs_BS: Tensor, batch: "Batch", tau: float) -> "ObjectiveValue":
    """Share of the policy loss and of the auxiliary language-model loss (PTX).

    Rows say in `batch.extra` how much they count: `policy_share` is 1 / samples of the update (0
    for PTX rows), `text_share` is PTX weight / PTX tokens of the update (0 for policy rows), and
    `weight` corrects for an engine that samples from another distribution than the trainer's
    (`k2core.rl.mismatch`; 1 elsewhere). The trainer takes log p at `temperature`, which is what a
    row was sampled at (1 for PTX rows).
    """
    from k2core.engines.megatron.batch import ObjectiveValue

    extra, mask_BS = batch.extra, batch.loss_mask
    share_B, text_share_B = extra["policy_share"], extra["text_share"]
    log_ratio_B = sequence_log_ratio(logprobs_BS, extra["old_logprobs"], mask_BS)
    policy = (
        share_B * extra["weight"] * squared_residuals(extra["advantage"], log_ratio_B, tau)
    ).sum()
    text = -(text_share_B * (logprobs_BS * mask_BS).sum(dim=1)).sum()
    with torch.no_grad():
        metrics = _figures(logprobs_BS, batch, log_ratio_B)
        metrics |= {"policy_loss": float(policy), "ptx_loss": float(text)}
    return ObjectiveValue(policy + text, metrics)


def _figures(logprobs_BS: Tensor, batch: "Batch", log_ratio_B: Tensor) -> dict[str, float]:
    """Means over the update's samples; `kl` and `token_gap` are means over a sample's tokens."""
    share_B, mask_BS = batch.extra["policy_share"], batch.loss_mask
    gap_BS = (logprobs_BS - batch.extra["old_logprobs"]) * mask_BS
    tokens_B = mask_BS.sum(dim=1).clamp(min=1.0)
    # KL(pi_old || pi_theta) by an estimator that is unbiased and never negative: r - 1 - log r.
    kl_B = ((gap_BS.exp() - 1 - gap_BS) * mask_BS).sum(dim=1) / tokens_B
    return {
        "log_ratio": float((share_B * log_ratio_B).sum()),
        "kl": float((share_B * kl_B).sum()),
        "token_gap": float((share_B * gap_BS.abs().sum(dim=1) / tokens_B).sum()),
    }
