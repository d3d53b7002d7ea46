"""K2's objective (arXiv:2507.20534, section 3.2.2), of Kimi K1.5 (arXiv:2501.12599, equation 3)."""

from k2core.rl.objectives.rule import ObjectiveLosses, PolicyObjective, PolicyRows


class SquaredLogRatio(PolicyObjective):
    """A sample's loss is ( r - mean_r - tau log( pi(y|x) / pi_old(y|x) ) )^2.

    The log ratio is of the whole sequence: the sum over the tokens that the policy itself wrote.
    """

    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        """The squared residual of each row; nothing is clipped."""
        log_ratio_B = rows.log_ratio.sum(dim=1)
        return ObjectiveLosses((rows.advantage - self.config.tau * log_ratio_B).square())

    def noise(self, token_gap: float, sequence_gap: float, size: float) -> float:
        """The gaps of a sample's tokens add up, and stand beside its advantage."""
        return self.config.tau * sequence_gap / size if size else 0.0
