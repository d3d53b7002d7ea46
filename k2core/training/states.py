"""States of an unfinished training, in the store: written beside it, whole once sealed.

Every rank copies its part and goes on; a thread writes it. Ranks agree at a later step that all
have written, and rank 0 then seals the state: what has no seal is no state.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from k2core.store import States
from k2core.training.history import StepLog

if TYPE_CHECKING:
    from k2core.engines.learner import RankSteps, Snapshot
    from k2core.engines.torchrun import Ranks

_KIND = "step-"
_LOG = "history.json"


class _Pending(NamedTuple):
    """A state that is being written."""

    name: str
    written: "Future[None]"


class TrainingStates:
    """The states of one training, as a rank has to do with them.

    Args:
        states: of the work, in the store.
        ranks: those who train.
        kept: of the newest states.
    """

    def __init__(self, states: States, ranks: "Ranks", kept: int) -> None:
        self.ranks = ranks
        self._states, self._kept = states, kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="states")
        self._pending: _Pending | None = None

    def newest(self) -> str:
        """The newest whole state; "" if there is none."""
        return self.ranks.share(newest_state(self._states) if self.ranks.rank == 0 else "")

    def resume(self, trainer: "RankSteps") -> StepLog:
        """Take up the newest state; what a kill left unfinished is removed."""
        newest = self.newest()
        if self.ranks.rank == 0:
            for name in _unfinished(self._states):
                self._states.delete(name)
        if not newest:
            return StepLog()
        trainer.load(lambda file: self._states.fetch(f"{newest}/{file}"))
        return StepLog.from_json(self._states.read(f"{newest}/{_LOG}"))

    def begin(self, trainer: "RankSteps", log: StepLog) -> None:
        """Copy the state and write the copy meanwhile."""
        self.finish()
        name, snapshot = f"{_KIND}{log.num_steps:08d}", trainer.snapshot()
        text = log.to_json() if self.ranks.rank == 0 else ""
        self._pending = _Pending(name, self._thread.submit(self._write, name, snapshot, text))

    def settle(self) -> None:
        """Seal the state that is being written, if all ranks have; all ranks take part."""
        if self._pending is not None and self.ranks.agree(self._pending.written.done()):
            self.finish()

    def finish(self) -> None:
        """Wait until the state that is being written is whole; all ranks take part."""
        if self._pending is None:
            return
        self._pending.written.result()
        self.ranks.wait()
        if self.ranks.rank == 0:
            self._states.seal(self._pending.name, self._kept)
        self.ranks.wait()
        self._pending = None

    def _write(self, name: str, snapshot: "Snapshot", log: str) -> None:
        snapshot.write(lambda file: self._states.writing(f"{name}/{file}"))
        if log:
            self._states.put(f"{name}/{_LOG}", log.encode())


def newest_state(states: States) -> str:
    """Of a training; "" if none is whole."""
    return next(reversed(states.sealed(_KIND)), "")


def steps_of(state: str) -> int:
    """Steps that led to a state."""
    return int(state.removeprefix(_KIND)) if state else 0


def _unfinished(states: States) -> set[str]:
    found = {name.partition("/")[0] for name in states.names(_KIND)}
    return found - set(states.sealed(_KIND))
