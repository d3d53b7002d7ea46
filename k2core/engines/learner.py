"""What a training loop, and reinforcement learning, ask of the model that they train."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from k2core.model.digest import NamedTensor

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.engines.megatron.batch import Batch, Objective, StepStats

T = TypeVar("T")
Peer = Callable[[int, Iterator[NamedTensor]], None]
"""What a rank, by its number, does with the tensors while the first one sends them."""
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

    def send_weights(self, send: Callable[[Iterator[NamedTensor]], T], peer: Peer) -> T:
        """Hand all weights on, one whole tensor after another, by Hugging Face names.

        Args:
            send: takes them, on the device where they are and as views that do not last.
            peer: what the other ranks do meanwhile; picklable.
        """

    def export_checkpoint(self, folder: Path) -> int:
        """Write the weights in the Hugging Face layout; returns the bytes written here."""

    def save(self, writing: Writing) -> None:
        """Write the state, each rank its part; all of it is there when this returns."""


def follow(rank: int, named: Iterator[NamedTensor]) -> None:
    """Take part in gathering each tensor, and no more."""
    for _ in named:
        pass


def below(folder: Path) -> Writing:
    """Files of a folder that all ranks share."""
    return partial(_write_below, folder)


@contextmanager
def _write_below(folder: Path, name: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    yield folder / name
