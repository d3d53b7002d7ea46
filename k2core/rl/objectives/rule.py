"""The seam for objectives: from the log-probabilities of samples to a loss."""

import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from schemas.objective import ObjectiveConfig

if TYPE_CHECKING:
    from torch import Tensor


class PolicyRows(NamedTuple):
    """Samples of an update, a row each. B rows, S tokens."""

    logprobs: "Tensor"
    """[B, S] log pi of each token, at the temperature that it was sampled at."""
    old: "Tensor"
    """[B, S] log pi_old."""
    mask: "Tensor"
    """[B, S] 1 where the policy that is trained wrote the token, else 0."""
    advantage: "Tensor"
    """[B]."""
    mean_tokens: "Tensor"
    """[B] mean tokens of the samples of the row's problem."""

    @property
    def log_ratio(self) -> "Tensor":
        """[B, S] log(pi / pi_old) of each token; 0 where the policy did not write."""
        return (self.logprobs - self.old) * self.mask

    @property
    def tokens(self) -> "Tensor":
        """[B] tokens that the policy wrote, at least 1."""
        return self.mask.sum(dim=1).clamp(min=1.0)


class ObjectiveLosses(NamedTuple):
    """What an objective makes of rows."""

    losses: "Tensor"
    """[B] minimised in the mean over all samples that were asked for."""
    clipped: "Tensor | None" = None
    """[B] share of each row's tokens whose ratio was clipped, without gradient; a figure alone."""


class PolicyObjective(ABC):
    """A loss of samples, in plain torch; sums, PTX, importance weights and ranks are not its job.

    One's own gives `losses`:

        class Reinforce(PolicyObjective):
            def losses(self, rows):
                return Losses(-rows.advantage * (rows.logprobs * rows.mask).sum(1))

    and is `rl.objective.kind = "package.module:Reinforce"`. A row's loss must depend on that row
    alone, since rows are dealt to ranks; and where pi is pi_old and the advantage 0, it must have
    no gradient, since such rows are left out.

    Args:
        config: read what it names; figures of one's own are in `config.options`.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Of one problem's samples: by default each reward less their mean."""
        mean = statistics.fmean(rewards)
        return [reward - mean for reward in rewards]

    @abstractmethod
    def losses(self, rows: PolicyRows) -> ObjectiveLosses:
        """The loss of each row."""

    def noise(self, token_gap: float, sequence_gap: float, size: float) -> float:
        """What a mismatch of engine and trainer does before any update, as a share of a lesson.

        Args:
            token_gap: mean |log ratio| a token.
            sequence_gap: mean |log ratio| of whole samples.
            size: RMS of the advantages.
        """
        return token_gap
