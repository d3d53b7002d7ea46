"""What reinforcement learning minimises (`k2core.rl.objectives`)."""

from pydantic import Field

from schemas.source import DOTTED, NamedCode


class ObjectiveConfig(NamedCode):
    """By default K2's squared log ratios; others by name, one's own by a path."""

    kind: str = Field("K2", pattern=rf"^(K2|GRPO|DrGRPO|GSPO|CISPO|{DOTTED})$")
    """K2 (arXiv:2507.20534), GRPO (arXiv:2402.03300), DrGRPO (arXiv:2503.20783), GSPO
    (arXiv:2507.18071), CISPO (arXiv:2506.13585); or one's own as `package.module:Class`, a subclass
    of `k2core.rl.objectives.rule.PolicyObjective`."""
    tau: float = Field(0.1, gt=0)
    """K2: weight of log(pi / pi_old); the larger, the closer to the old policy."""
    clip_low: float | None = Field(None, gt=0)
    """The others: how far below 1 a ratio counts; by default what their paper says."""
    clip_high: float | None = Field(None, gt=0)
    """The same above 1."""
    length_scale: int = Field(64, ge=1)
    """DrGRPO: the constant that sums over tokens are divided by, whatever a sample's length."""
