"""Dr. GRPO (arXiv:2503.20783, section 3.2): GRPO without its two biases."""

from k2core.rl.objectives.clipped import ClippedObjective, surrogate
from k2core.rl.objectives.rule import ObjectiveLosses, PolicyRows


class DrGrpo(ClippedObjective):
    """The clipped surrogate, summed over tokens and divided by a constant.

    Neither is a sample's loss divided by its length, nor its advantage by a deviation.
    """

    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        """- 1/constant sum_t min( r_t A, clip(r_t) A ), as in the paper's listing 1."""
        found = surrogate(rows.log_ratio, rows.advantage[:, None], self.bounds)
        value_B = (found.value * rows.mask).sum(dim=1) / self.config.length_scale
        return ObjectiveLosses(-value_B, (found.clipped * rows.mask).sum(dim=1) / rows.tokens)
