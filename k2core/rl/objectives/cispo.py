"""CISPO (MiniMax-M1, arXiv:2506.13585, equations 4, 5): weights are clipped, not updates."""

from collections.abc import Sequence

from k2core.rl.objectives.clipped import Clip, ClippedObjective, standardise
from k2core.rl.objectives.rule import ObjectiveLosses, PolicyRows


class Cispo(ClippedObjective):
    """REINFORCE with truncated importance weights: every token keeps its gradient.

    The mean is over all tokens of a problem's samples together.
    """

    clip = Clip(1.0, 0.2)  # no bound below, as the paper's; the one above it does not tell

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Standardised within the problem."""
        return standardise(rewards)

    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        """- 1/mean|o| sum_t sg( clip(r_t) ) A log pi_t; the mean over samples makes 1/sum|o|."""
        ratio_BS = rows.log_ratio.detach().exp()
        weight_BS = ratio_BS.clamp(1 - self.bounds.low, 1 + self.bounds.high)
        terms_BS = weight_BS * rows.advantage[:, None] * rows.logprobs * rows.mask
        clipped_BS = (weight_BS != ratio_BS) * rows.mask
        loss_B = -terms_BS.sum(dim=1) / rows.mean_tokens.clamp(min=1.0)
        return ObjectiveLosses(loss_B, clipped_BS.sum(dim=1) / rows.tokens)
