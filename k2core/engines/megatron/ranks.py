"""Ranks on one machine, in any layout: child processes that look like one `Trainer`.

A rank is one process with one thread: two contending OpenMP threads are slower than two ranks.
"""

import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from k2core.engines.megatron.batch import (
    Batch,
    NonFiniteError,
    Objective,
    StepStats,
    language_model_loss,
)
from k2core.engines.megatron.layout import check_layout, find_seat
from k2core.engines.megatron.wire import receive, send
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement


class RankError(RuntimeError):
    """A rank failed or died; carries the child's own traceback."""


class _Rank:
    """One child process and the pipe to it."""

    def __init__(self, rank: int, num_ranks: int, rendezvous: Path) -> None:
        self.rank = rank
        ours, theirs = Pipe()
        environment = os.environ | {
            "RANK": str(rank),
            "WORLD_SIZE": str(num_ranks),
            "K2_RENDEZVOUS": f"file://{rendezvous}",
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            # glibc would give activations back to the system and fault them in again each step
            "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
            "MALLOC_TRIM_THRESHOLD_": str(4 * 1024**3),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path) or ".",
            "PYTHONWARNINGS": "ignore",
        }
        command = [sys.executable, "-m", "k2core.engines.megatron.rank"]
        fd = theirs.fileno()
        self.process = subprocess.Popen(
            [*command, str(fd), str(os.getpid())], env=environment, pass_fds=[fd]
        )
        theirs.close()
        self.connection: Connection = ours

    def answer(self) -> Any:
        """What the child says to the last call."""
        try:
            value, failure = receive(self.connection)
        except (EOFError, ConnectionResetError):
            code = self.process.wait()
            raise RankError(f"training rank {self.rank} died with exit code {code}") from None
        if failure is None:
            return value
        kind, said = failure
        if kind == "non_finite":
            raise NonFiniteError(said)
        raise RankError(f"training rank {self.rank} failed:\n{said}")

    def end(self) -> None:
        """Close the pipe, on which the child leaves; kill it if it does not."""
        self.connection.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class TrainerGroup:
    """A `Trainer` spread over child processes: same methods, global batches.

    Rows are dealt to model replicas in contiguous parts, as even as possible. An objective must be
    picklable. After an error the group is closed.
    """

    def __init__(
        self,
        shape: ModelShape,
        optim: OptimConfig,
        *,
        seed: int,
        checkpoint: Path | None = None,
        placement: Placement | None = None,
    ) -> None:
        self._placement = placement = placement or Placement()
        check_layout(shape, placement)
        self._folder = tempfile.TemporaryDirectory(prefix="k2-ranks-")
        rendezvous = Path(self._folder.name) / "rendezvous"
        count = placement.num_ranks
        self._ranks = [_Rank(rank, count, rendezvous) for rank in range(count)]
        options = {
            "seed": seed,
            "checkpoint": checkpoint,
            "placement": placement,
        }
        self._call("build", [(shape, optim)] * count, options)

    def step(
        self,
        batch: Batch,
        lr: float,
        objective: Objective = language_model_loss,
        max_loss: float | None = None,
    ) -> StepStats:
        """As `Trainer.step`, for the global batch."""
        orders = [(part, lr, objective, max_loss) for part in self._deal(batch)]
        stats: StepStats = self._call("step", orders)[0]
        return stats

    def logprobs(self, batch: Batch) -> Tensor:
        """As `Trainer.logprobs`, for the global batch."""
        found = self._call("logprobs", [(part,) for part in self._deal(batch)])
        seats = [find_seat(rank, self._placement) for rank in range(len(found))]
        speaks = (0, 0, self._placement.pp - 1)  # one rank of each replica
        pairs = zip(found, seats, strict=True)
        return torch.cat([p for p, s in pairs if (s.tensor, s.context, s.stage) == speaks])

    def logits(self, tokens: Tensor) -> Tensor:
        """As `Trainer.logits`, by one model replica."""
        count = len(self._ranks)
        p = self._placement
        alone = p.tp * p.cp * p.pp * p.ep == 1
        found: Tensor = self._call("logits", [(tokens,)] * (1 if alone else count))[-1]
        return found

    def export_weights(self) -> dict[str, Tensor]:
        """As `Trainer.export_weights`, from rank 0."""
        weights: dict[str, Tensor] = self._call("export_weights", [()] * len(self._ranks))[0]
        return weights

    def export_checkpoint(self, folder: Path) -> None:
        """As `Trainer.export_checkpoint`."""
        self._call("export_checkpoint", [(folder,)] * len(self._ranks))

    def save(self, folder: Path) -> None:
        """As `Trainer.save`."""
        self._call("save", [(folder,)] * len(self._ranks))

    def load(self, folder: Path) -> None:
        """As `Trainer.load`."""
        self._call("load", [(folder,)] * len(self._ranks))

    def close(self) -> None:
        """End all ranks."""
        for rank in self._ranks:
            rank.end()
        self._ranks = []
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _deal(self, batch: Batch) -> list[Batch]:
        layout = self._placement
        rows, count = len(batch.tokens), layout.dp
        ends = [rows * (index + 1) // count for index in range(count)]
        parts = [batch.select_rows(*bounds) for bounds in pairwise([0, *ends])]
        # a view would drag its whole storage through the pipe
        parts = [part.map(lambda tensor: tensor.contiguous().clone()) for part in parts]
        return [parts[find_seat(rank, layout).data] for rank in range(layout.num_ranks)]

    def _call(
        self, method: str, arguments: list[tuple[Any, ...]], options: dict[str, Any] | None = None
    ) -> list[Any]:
        """Call a method on the first `len(arguments)` ranks; the first failure closes the group."""
        if not self._ranks:
            raise RankError(f"cannot {method}: the group is closed")
        called = self._ranks[: len(arguments)]
        values: dict[int, Any] = {}
        try:
            for rank, args in zip(called, arguments, strict=True):
                send(rank.connection, (method, args, options or {}))
            while waiting := [r for r in called if r.rank not in values]:
                ready = wait([rank.connection for rank in waiting])
                for rank in waiting:
                    if rank.connection in ready:
                        values[rank.rank] = rank.answer()
        except BaseException:
            for rank in self._ranks:
                rank.process.kill()  # the others may wait in a collective for the one that failed
            self.close()
            raise
        return [values[rank.rank] for rank in called]
