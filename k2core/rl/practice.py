"""What the iterations of reinforcement learning work with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from k2core.engines.learner import Learner
from k2core.rl.objectives.rule import PolicyObjective
from k2core.rl.samples import Judge, Play
from schemas.chat import Problem
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.chat import EncodedDialogue


class Served(Protocol):
    """What samples: an engine."""

    def update_weights(self, tensors: "Mapping[str, Tensor]") -> str:
        """Serve these from now on."""


@dataclass(frozen=True)
class Practice:
    """Everything that the iterations work with."""

    config: RlConfig
    rule: PolicyObjective
    """What is minimised."""
    problems: Sequence[Problem]
    """The training split; validation and held-out problems are never among them."""
    validation: Sequence[Problem]
    """What the weights are compared on."""
    texts: "Sequence[EncodedDialogue]"
    """Accepted trajectories, for PTX."""
    learner: Learner
    served: Served
    play: Play
    judge: Judge
    pad_id: int
    num_ranks: int
