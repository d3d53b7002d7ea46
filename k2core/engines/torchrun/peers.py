"""What ranks know of each other besides their collectives: who is alive, and what one died of.

Each rank beats once a second in the store of the rendezvous. So a collective that breaks off can be
laid at somebody's door: a rank that said what it died of, or one whose beat has stopped.
"""

import socket
import threading
import time
import traceback
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

_BEAT_S = 1.0
_SILENT_BEATS = 4
"""A rank that misses so many is gone, or its machine is, or the way to it."""
_ANSWER_S = 15.0
"""After that the store itself is out of reach."""
_CLOSE_S = 5.0
"""So long a beat under way may take at the end; one that comes later would feign life."""


class RankError(RuntimeError):
    """A rank failed or died; says which, on what machine, and carries its traceback."""


class PeerError(RankError):
    """What a rank says that was let down by others: its own work was sound."""


class Peers:
    """One rank's line to the others, through the store that they met by.

    Args:
        store: of the rendezvous.
        rank: of this process.
        num_ranks: all of them.
    """

    def __init__(self, store: Store, rank: int, num_ranks: int) -> None:
        self._beats = PrefixStore("k2/beats", store)
        self._store = PrefixStore("k2", store)
        self.rank, self._num_ranks = rank, num_ranks
        self._stop = threading.Event()
        self._beats.set(str(rank), "0")
        self._store.set(f"host/{rank}", socket.gethostname())
        self._thread = threading.Thread(target=self._beat, name="beat", daemon=True)
        self._thread.start()

    def tell(self, error: BaseException) -> None:
        """Leave word of what this rank dies of; nobody may be there to take it."""
        try:
            self._store.set(f"failed/{self.rank}", "".join(traceback.format_exception(error)))
        except RuntimeError:
            return

    def explain(self, error: BaseException) -> PeerError:
        """Who is to blame for a collective that broke off, as far as can be known."""
        answer: list[str] = []
        asking = threading.Thread(target=lambda: answer.append(self._ask()), daemon=True)
        asking.start()
        asking.join(_ANSWER_S)
        why = answer[0] if answer else "the store of the rendezvous is out of reach, so the machine"
        why += "" if answer else " of rank 0, or the way to it, is gone"
        me = f"rank {self.rank} on {socket.gethostname()}"
        return PeerError(f"{me} waited in vain for others: {why}\n({error})")

    def close(self) -> None:
        """Stop beating; a beat under way is waited for, if the store takes it."""
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def _ask(self) -> str:
        try:
            told = [r for r in range(self._num_ranks) if self._store.check([f"failed/{r}"])]
            if told:
                said = self._store.get(f"failed/{told[0]}").decode()
                return f"{self._name(told[0])} failed:\n{said}"
            silent = self._listen()
            if silent:
                names = ", ".join(self._name(r) for r in silent[:8])
                return f"no sign of life from {names}" + _more(len(silent) - 8)
        except RuntimeError as error:
            return f"nor does the store of the rendezvous answer ({error})"
        return "all of them are alive; one hangs, or a link between two of them is gone"

    def _listen(self) -> list[int]:
        """The ranks that do not beat until a rank counts as gone; none as soon as all have."""
        before, silent = self._read_beats(), list(range(self._num_ranks))
        until = time.monotonic() + _SILENT_BEATS * _BEAT_S
        while silent and time.monotonic() < until:
            self._stop.wait(_BEAT_S / 2)
            now = self._read_beats()
            silent = [rank for rank in silent if before[rank] == now[rank]]
        return silent

    def _read_beats(self) -> list[bytes]:
        return self._beats.multi_get([str(rank) for rank in range(self._num_ranks)])

    def _name(self, rank: int) -> str:
        return f"rank {rank} on {self._store.get(f'host/{rank}').decode()}"

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(_BEAT_S):
            count += 1
            try:
                self._beats.set(str(self.rank), str(count))
            except RuntimeError:  # the store has gone with its process
                return


def is_broken_collective(error: BaseException) -> bool:
    """Whether a call failed because of other ranks: a timeout, or a connection that closed."""
    if isinstance(error, (dist.DistBackendError, dist.DistNetworkError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("gloo/" in said or "NCCL" in said)


def open_store(timeout: timedelta) -> tuple[Store, int, int]:
    """The store that the launcher's environment names, this process's rank and their number."""
    store, rank, num_ranks = next(rendezvous("env://", timeout=timeout))
    return store, rank, num_ranks


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
