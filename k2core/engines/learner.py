"""What a training loop, and reinforcement learning, ask of the model that they train."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.engines.megatron.batch import Batch, Objective, StepStats

Fetch = Callable[[str], Path]
"""A file of a state, by its name there: where it is on this machine."""
Writing = Callable[[str], AbstractContextManager[Path]]
"""A new file of a state, by its name there: a path to write, whole when the block ends well."""


class Snapshot(Protocol):
    """A copy of a state, or of a rank's part of one, that training does not touch."""

    def write(self, writing: Writing) -> None:
        """Write its files; in any thread."""


class Steps(Protocol):
    """What takes optimizer steps, and takes up where it was."""

    def step(
        self,
        batch: "Batch",
        lr: float,
        objective: "Objective | None" = None,
        max_loss: float | None = None,
    ) -> "StepStats":
        """One optimizer step; by default on the language model's loss.

        Args:
            batch: rows to learn from.
            lr: learning rate of this step.
            objective: what to minimise.
            max_loss: refuse the step, in `StepStats.taken`, above this loss or where loss or
                gradient is not finite.

        Raises:
            NonFiniteError: without `max_loss`, loss or gradient is NaN or infinite; the weights
                stay as they were.
        """

    def load(self, fetch: Fetch) -> None:
        """Take up a state."""


class RankSteps(Steps, Protocol):
    """One rank of many, given its own rows: what pre-training and finetuning drive."""

    def snapshot(self) -> Snapshot:
        """Copy this rank's part of the state; all ranks take part."""


class Learner(Steps, Protocol):
    """A whole model, given global batches: what reinforcement learning drives."""

    def logprobs(self, batch: "Batch") -> "Tensor":
        """Log p of each label [B, S], on the CPU; 0 at padding."""

    def export_weights(self) -> "dict[str, Tensor]":
        """All weights by Hugging Face names: on the CPU, fp32, contiguous copies."""

    def export_checkpoint(self, folder: Path) -> int:
        """Write the weights in the Hugging Face layout; returns the bytes written here."""

    def save(self, folder: Path) -> None:
        """Write the state, whole."""
