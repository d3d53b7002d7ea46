"""GSPO (arXiv:2507.18071, equations 5 to 7): one ratio a sequence."""

from collections.abc import Sequence

from k2core.rl.objectives.clipped import Clip, ClippedObjective, standardise, surrogate
from k2core.rl.objectives.rule import ObjectiveLosses, PolicyRows


class Gspo(ClippedObjective):
    """The clipped surrogate of the geometric mean of a sample's token ratios."""

    clip = Clip(3e-4, 4e-4)  # section 5.1

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Standardised within the problem (equation 6)."""
        return standardise(rewards)

    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        """- min( s A, clip(s) A ), s = exp( 1/|y| sum_t log ratio_t ) (equation 7)."""
        log_ratio_B = rows.log_ratio.sum(dim=1) / rows.tokens
        found = surrogate(log_ratio_B, rows.advantage, self.bounds)
        return ObjectiveLosses(-found.value, found.clipped)
