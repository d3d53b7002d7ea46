"""What the iterations of reinforcement learning work with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from k2core.rl.samples import Judge, Play
from k2core.rl.state import Saves
from schemas.chat import Problem
from schemas.rl import RlConfig

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.chat import EncodedDialogue
    from k2core.engines.megatron.batch import Batch, Objective, StepStats


class Learner(Saves, Protocol):
    """What is trained: a `TrainerGroup`."""

    def step(self, batch: "Batch", lr: float, objective: "Objective") -> "StepStats":
        """One optimizer step."""

    def logprobs(self, batch: "Batch") -> "Tensor":
        """Log p of the labels."""

    def export_checkpoint(self, folder: Path) -> object:
        """Write the weights in the Hugging Face layout."""

    def export_weights(self) -> "dict[str, Tensor]":
        """Weights by Hugging Face names."""


class Served(Protocol):
    """What samples: an engine."""

    def update_weights(self, tensors: "Mapping[str, Tensor]") -> str:
        """Serve these from now on."""


@dataclass(frozen=True)
class Practice:
    """Everything that the iterations work with."""

    config: RlConfig
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
