"""One loop for all ranks: rank 0 runs it, and what it asks of the model, every rank does.

Training that reads its rows from an artifact needs no leader. Reinforcement learning does: its
batches come out of engines that rank 0 speaks to.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from k2core.engines.learner import Fetch, Learner, Peer, Weights, Writing
from k2core.engines.megatron.batch import Batch, Objective, StepStats
from k2core.engines.megatron.trainer import Trainer
from k2core.engines.torchrun.group import Ranks
from k2core.parallel.rows import own_bounds

T = TypeVar("T")


class _Order(NamedTuple):
    """A method of `_Part`, and what to call it with."""

    name: str
    arguments: tuple[object, ...]


_END = _Order("", ())


def lead(trainer: Trainer, work: Callable[[Learner], T]) -> T:
    """Call `work` on rank 0 with the model that all ranks are; every rank returns its value.

    Batches go to all ranks, and each takes its rows. Objectives must be picklable.
    """
    ranks, part = trainer.ranks.patient(), _Part(trainer)
    if ranks.rank == 0:
        value = work(_Leader(part, ranks))
        ranks.share(_END)
        return ranks.share(value)
    while (order := ranks.share(_END)) != _END:
        getattr(part, order.name)(*order.arguments)
    return ranks.share(cast("T", None))


class _Part:
    """What a rank does when rank 0 says so: all ranks call the same method."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.ranks = trainer, trainer.ranks
        self.load, self.save = trainer.load, trainer.save

    def step(
        self, batch: Batch, lr: float, objective: Objective | None, max_loss: float | None
    ) -> StepStats:
        """This rank's rows."""
        return self.trainer.step(self._own(batch), lr, objective, max_loss)

    def logprobs(self, batch: Batch) -> Tensor:
        """Of all rows, on rank 0."""
        found, seat = self.trainer.logprobs(self._own(batch)), self.trainer.seat
        speaks = (seat.tensor, seat.context, seat.stage) == (0, 0, self.trainer.placement.pp - 1)
        parts = self.ranks.collect(found if speaks else None)
        return torch.cat([part for part in parts if part is not None]) if parts else found

    def export_checkpoint(self, aside: Path, writing: Writing) -> None:
        """This rank's files; ranks of a machine do not meet on their way."""
        folder = aside / f"rank-{self.ranks.rank:05d}"
        shutil.rmtree(folder, ignore_errors=True)
        self.trainer.export_checkpoint(folder)
        for file in sorted(folder.iterdir()):
            with writing(file.name) as path:
                shutil.move(file, path)
        folder.rmdir()
        self.ranks.wait()

    def send_weights(self, peer: Peer) -> None:
        """On all ranks but the first."""
        peer(self.trainer.weights)

    def _own(self, batch: Batch) -> Batch:
        place = self.trainer.seat.data, self.trainer.placement.dp
        return batch.select_rows(*own_bounds(len(batch.tokens), *place))


class _Leader:
    """A `Learner` on rank 0: passes each call on to all ranks."""

    def __init__(self, part: _Part, ranks: Ranks) -> None:
        self._part, self._ranks = part, ranks

    def step(
        self,
        batch: Batch,
        lr: float,
        objective: Objective | None = None,
        max_loss: float | None = None,
    ) -> StepStats:
        """As `Trainer.step`, for the global batch."""
        self._order("step", batch, lr, objective, max_loss)
        return self._part.step(batch, lr, objective, max_loss)

    def logprobs(self, batch: Batch) -> Tensor:
        """As `Trainer.logprobs`, for the global batch."""
        self._order("logprobs", batch)
        return self._part.logprobs(batch)

    def send_weights(self, send: Callable[[Weights], T], peer: Peer) -> T:
        """As `Learner.send_weights`."""
        self._order("send_weights", peer)
        return self._part.trainer.send_weights(send, peer)

    def export_checkpoint(self, aside: Path, writing: Writing) -> None:
        """As `Learner.export_checkpoint`."""
        self._order("export_checkpoint", aside, writing)
        self._part.export_checkpoint(aside, writing)

    def save(self, writing: Writing) -> None:
        """As `Trainer.save`; `writing` must be picklable."""
        self._order("save", writing)
        self._part.save(writing)

    def load(self, fetch: Fetch) -> None:
        """As `Trainer.load`."""
        self._order("load", fetch)
        self._part.load(fetch)

    def _order(self, name: str, *arguments: object) -> None:
        # A view would drag its whole storage along.
        whole = [a.map(_compact) if isinstance(a, Batch) else a for a in arguments]
        self._ranks.share(_Order(name, tuple(whole)))


def _compact(tensor: Tensor) -> Tensor:
    return tensor.contiguous().clone()
