"""The clipped surrogate of PPO (arXiv:1707.06347, equation 7), which GRPO and its kin share."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from k2core.rl.objectives.rule import PolicyObjective

if TYPE_CHECKING:
    from torch import Tensor


class Clip(NamedTuple):
    """How far from 1 a ratio counts."""

    low: float
    high: float


class Surrogate(NamedTuple):
    """Of ratios of any shape."""

    value: "Tensor"
    """min( r A, clip(r, 1 - low, 1 + high) A )."""
    clipped: "Tensor"
    """1 where the clip decided, so that nothing is learned."""


class ClippedObjective(PolicyObjective):
    """One with a clip, whose paper's width is the default."""

    clip: ClassVar[Clip] = Clip(0.2, 0.2)

    @property
    def bounds(self) -> Clip:
        """The config's widths, or the paper's."""
        low, high = self.config.clip_low, self.config.clip_high
        return Clip(self.clip.low if low is None else low, self.clip.high if high is None else high)


def surrogate(log_ratio: "Tensor", advantage: "Tensor", bounds: Clip) -> Surrogate:
    """Of ratios given by their logarithms."""
    ratio = log_ratio.exp()
    free = ratio * advantage
    held = ratio.clamp(1 - bounds.low, 1 + bounds.high) * advantage
    return Surrogate(free.minimum(held), (held < free).to(ratio.dtype).detach())


def standardise(rewards: Sequence[float]) -> list[float]:
    """( r - mean_r ) / std_r (arXiv:2402.03300, section 4.1.2); zeros where all are alike."""
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    return [(reward - mean) / deviation if deviation > 1e-9 else 0.0 for reward in rewards]
