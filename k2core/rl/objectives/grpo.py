"""GRPO (DeepSeekMath, arXiv:2402.03300, equation 3), without its KL term to a third model."""

from collections.abc import Sequence

from k2core.rl.objectives.clipped import ClippedObjective, standardise, surrogate
from k2core.rl.objectives.rule import ObjectiveLosses, PolicyRows


class Grpo(ClippedObjective):
    """The clipped surrogate of each token, in the mean over a sample's tokens.

    The KL term's weight is 0, as in DAPO (arXiv:2503.14476, section 2.3).
    """

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Standardised within the problem."""
        return standardise(rewards)

    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        """- 1/|o| sum_t min( r_t A, clip(r_t) A )."""
        found = surrogate(rows.log_ratio, rows.advantage[:, None], self.bounds)
        value_B = (found.value * rows.mask).sum(dim=1) / rows.tokens
        return ObjectiveLosses(-value_B, (found.clipped * rows.mask).sum(dim=1) / rows.tokens)
