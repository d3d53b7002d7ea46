"""A rank's rows, read one step ahead of the step that learns from them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch

T = TypeVar("T")


class Feed:
    """Batches by step, read in a thread of its own: it alone touches what they are read from.

    Args:
        read: a step's rows of this rank; the same at every call.
        last: one past the last step.
    """

    def __init__(self, read: "Callable[[int], Batch]", last: int) -> None:
        self._read, self._last = read, last
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._ahead: dict[int, Future[Batch]] = {}

    def take(self, step: int) -> "Batch":
        """The rows of a step; those of the next one are read meanwhile."""
        for wanted in (step, step + 1):
            if wanted < self._last and wanted not in self._ahead:
                self._ahead[wanted] = self._thread.submit(self._read, wanted)
        return self._ahead.pop(step).result()

    def ask(self, what: Callable[[], T]) -> T:
        """Call `what` where rows are read."""
        return self._thread.submit(what).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
