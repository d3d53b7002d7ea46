"""What a training loop, and reinforcement learning, ask of the model that they train."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from k2core.model.digest import NamedTensor
from k2core.model.tensors import TensorShape

if TYPE_CHECKING:
    from torch import Tensor

    from k2core.engines.megatron.batch import Batch, Objective, StepStats

T = TypeVar("T")
Fetch = Callable[[str], Path]
"""A file of a state, by its name there: where it is on this machine."""
Writing = Callable[[str], AbstractContextManager[Path]]
"""A new file of a state, by its name there: a path to write, whole when the block ends well."""


class RanksOfModel(Protocol):
    """The ranks of a model, as one of them sees them."""

    @property
    def rank(self) -> int:
        """This one."""

    def share(self, value: T) -> T:
        """What rank 0 has, to all."""

    def collect(self, value: T) -> list[T]:
        """What each has, in order, on rank 0; nothing on the others."""


class Weights(Protocol):
    """A model's tensors by Hugging Face names, spread over its ranks; each is one rank's to give.

    What is given out is on the device where it is, as views that do not last, in the order of
    `shapes`. All ranks call the same method, and each goes through to its end.
    """

    @property
    def shapes(self) -> Mapping[str, TensorShape]:
        """Of all tensors."""

    @property
    def owners(self) -> Mapping[str, int]:
        """The rank that gives each tensor."""

    @property
    def ranks(self) -> RanksOfModel:
        """Over which they are spread."""

    def own(self) -> Iterator[NamedTensor]:
        """What this rank gives, each tensor whole."""

    def everywhere(self) -> Iterator[NamedTensor]:
        """All tensors on every rank."""


Peer = Callable[[Weights], None]
"""What a rank does while the first one sends weights."""


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

    def send_weights(self, send: Callable[[Weights], T], peer: Peer) -> T:
        """Hand all weights on.

        Args:
            send: does so on rank 0.
            peer: what the other ranks do meanwhile; picklable.
        """

    def export_checkpoint(self, aside: Path, writing: Writing) -> None:
        """Write the weights in the Hugging Face layout, each rank its files.

        Args:
            aside: a folder of any machine, for files that are not whole.
            writing: where they go; picklable.
        """

    def save(self, writing: Writing) -> None:
        """Write the state, each rank its part; all of it is there when this returns."""


def below(folder: Path) -> Writing:
    """Files of a folder that all ranks share."""
    return partial(_write_below, folder)


@contextmanager
def _write_below(folder: Path, name: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    yield folder / name
