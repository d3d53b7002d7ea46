"""An update's loss (arXiv:2507.20534, section 3.2): a policy objective, and PTX beside it.

There is no value network; the rewards of a problem's K samples are each other's baseline. E_x is
over all problems that were asked: one whose samples all earn alike adds nothing but its share of
the mean. Both pi and pi_old are at the temperature that the samples were drawn at.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from k2core.rl.objectives.rule import PolicyObjective, PolicyRows

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch, ObjectiveValue


def policy_loss(logprobs_BS: Tensor, batch: "Batch", rule: PolicyObjective) -> "ObjectiveValue":
    """Share of the policy loss and of the auxiliary language-model loss (PTX). B rows, S tokens.

    Rows say in `batch.extra` how much they count: `policy_share` is 1 / samples of the update (0
    for PTX rows), `text_share` is PTX weight / PTX tokens of the update (0 for policy rows), and
    `weight` corrects for an engine that samples from another distribution than the trainer's
    (`k2core.rl.mismatch`; 1 elsewhere). The trainer takes log p at `temperature`, which is what a
    row was sampled at (1 for PTX rows).
    """
    from k2core.engines.megatron.batch import ObjectiveValue

    extra, mask_BS = batch.extra, batch.loss_mask
    share_B, text_share_B = extra["policy_share"], extra["text_share"]
    rows = PolicyRows(
        logprobs_BS, extra["old_logprobs"], mask_BS, extra["advantage"], extra["mean_tokens"]
    )
    found = rule.losses(rows)
    # A text's row has no share of the policy's loss, whatever an objective makes of it.
    loss_B = torch.where(share_B > 0, found.losses, torch.zeros_like(found.losses))
    policy = (share_B * extra["weight"] * loss_B).sum()
    text = -(text_share_B * (logprobs_BS * mask_BS).sum(dim=1)).sum()
    with torch.no_grad():
        metrics = _figures(rows, share_B)
        metrics |= {"policy_loss": float(policy), "ptx_loss": float(text)}
        if found.clipped is not None:
            metrics["clipped_frac"] = float((share_B * found.clipped).sum())
    return ObjectiveValue(policy + text, metrics)


def _figures(rows: PolicyRows, share_B: Tensor) -> dict[str, float]:
    """Means over the update's samples; all but `log_ratio` are means over a sample's tokens.

    `entropy` is -log p of what was sampled: unbiased where pi is pi_old.
    """
    gap_BS = rows.log_ratio
    # KL(pi_old || pi_theta) by an estimator that is unbiased and never negative: r - 1 - log r.
    kl_B = ((gap_BS.exp() - 1 - gap_BS) * rows.mask).sum(dim=1) / rows.tokens
    surprise_B = -(rows.logprobs * rows.mask).sum(dim=1) / rows.tokens
    return {
        "entropy": float((share_B * surprise_B).sum()),
        "log_ratio": float((share_B * gap_BS.sum(dim=1)).sum()),
        "kl": float((share_B * kl_B).sum()),
        "token_gap": float((share_B * gap_BS.abs().sum(dim=1) / rows.tokens).sum()),
    }
