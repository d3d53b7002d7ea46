"""How far the engine that samples is from the trainer, and what is done about it.

Two programs that hold equal weights give a token log-probabilities that differ by rounding: 1e-6 in
fp32, 1e-2 and more in a bf16 mixture of experts. The objective sums them over a sample, so that at
thousands of tokens the difference outweighs any advantage. It is measured a token, and corrected by
an importance weight that is truncated or masked. The weight is the mean ratio a token, whose size
does not depend on length; the choice is ours.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch

from k2core.rl.objectives.rule import PolicyObjective
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.engines.megatron.batch import Batch


class MismatchError(ValueError):
    """Engine and trainer differ so much that the objective would learn their difference."""


class Mismatch(NamedTuple):
    """|log p of the trainer - log p of the engine| of sampled tokens, under equal weights."""

    mean: float
    percentile_99: float
    largest: float
    effective_frac: float
    """Effective sample size of the sequences' importance weights, as a share of the samples."""
    sequence: float
    """Mean |log ratio| of a whole sample."""


def measure_mismatch(batch: "Batch", own_BS: "Tensor") -> Mismatch:
    """Compare the engine's `old_logprobs` with the trainer's own. B rows, S tokens.

    Args:
        batch: policy rows, and PTX rows, which do not count.
        own_BS: the trainer's log p of the labels at the rows' temperatures.
    """
    gap_BS, mask_BS = _gaps(batch, own_BS)
    rows_B = batch.extra["policy_share"] > 0
    gaps_N = gap_BS[rows_B][mask_BS[rows_B] > 0].abs().double()
    if not len(gaps_N):
        return Mismatch(0.0, 0.0, 0.0, 1.0, 0.0)
    log_ratio_B = gap_BS[rows_B].sum(dim=1).double()
    # (sum w)^2 / (n sum w^2), with the largest factored out: the ratios of long samples overflow
    weight_B = (log_ratio_B - log_ratio_B.max()).exp()
    effective = weight_B.sum().square() / weight_B.square().sum() / len(weight_B)
    return Mismatch(
        float(gaps_N.mean()),
        float(gaps_N.kthvalue(max(1, round(0.99 * len(gaps_N)))).values),
        float(gaps_N.max()),
        float(effective),
        float(log_ratio_B.abs().mean()),
    )


def check_mismatch(found: Mismatch, batch: "Batch", rule: PolicyObjective, limit: float) -> None:
    """Refuse to learn where the engine's log pi_old would drown the advantages.

    Raises:
        MismatchError: says how large both are, and what to set.
    """
    rows_B = batch.extra["policy_share"] > 0
    size = float(batch.extra["advantage"][rows_B].square().mean().sqrt())
    noise = rule.noise(found.mean, found.sequence, size)
    if noise > limit:
        raise MismatchError(
            f"before any update the engine's log p differ from the trainer's by {found.mean:.2g} a "
            f"token and {found.sequence:.3g} a sample: {noise:.2g} of the advantages' RMS "
            f"({size:.3g}), more than rl.max_mismatch={limit:g}. Set "
            'rl.old_logprobs="trainer" (and rl.mismatch="truncate"), or lower rl.objective.tau'
        )


def weigh_samples(batch: "Batch", own_BS: "Tensor", config: RlConfig) -> None:
    """Write each row's importance weight into `batch.extra["weight"]`, in place. B rows, S tokens.

    With `truncate` a row counts min(r, limit), with `mask` r within [1 / limit, limit], else 0; r
    is the geometric mean of pi_trainer / pi_engine over its tokens.
    """
    if config.mismatch == "none":
        return
    gap_BS, mask_BS = _gaps(batch, own_BS)
    ratio_B = (gap_BS.sum(dim=1) / mask_BS.sum(dim=1).clamp(min=1.0)).exp()
    limit = config.mismatch_limit
    if config.mismatch == "truncate":
        weight_B = ratio_B.clamp(max=limit)
    else:
        within_B = (ratio_B <= limit) & (ratio_B >= 1 / limit)
        weight_B = torch.where(within_B, ratio_B, torch.zeros_like(ratio_B))
    rows_B = batch.extra["policy_share"] > 0
    batch.extra["weight"].copy_(torch.where(rows_B, weight_B, torch.ones_like(weight_B)))


def _gaps(batch: "Batch", own_BS: "Tensor") -> "tuple[Tensor, Tensor]":
    mask_BS = (batch.loss_mask > 0).to(own_BS.dtype)
    return (own_BS - batch.extra["old_logprobs"]) * mask_BS, mask_BS
