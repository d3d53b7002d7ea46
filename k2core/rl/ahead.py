"""One step off: engines draw an iteration's samples while the trainer learns from those before.

They are written by weights that are an update older than those that learn from them. Each keeps the
log p of the weights that wrote it, which is the objective's pi_old; with `old_logprobs` the
trainer's, its importance weight is theirs, too (`k2core.rl.mismatch`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from k2core.rl.samples import Sample

T = TypeVar("T")


class StaleError(RuntimeError):
    """Samples were written by weights that the trainer never sent, or by too old ones."""


class Lag(NamedTuple):
    """Updates between the weights that wrote a token and those that learn from its dialogue."""

    mean: float
    """Over tokens."""
    largest: int


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Do work in a thread while a block runs; what is yielded waits for it and returns its value.

    Where the block fails, too, the work is waited for: the engines are not free before.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        yield pool.submit(work).result


def measure_lag(samples: Sequence[Sample], served: Sequence[str], most: int) -> Lag:
    """How old an iteration's samples are.

    Args:
        samples: what is learned from.
        served: digests of the weights after 0, 1, ... updates, until now.
        most: the oldest that a token may be which is learned from.

    Raises:
        StaleError: one is older, or nobody knows its weights.
    """
    number = {digest: count for count, digest in enumerate(served)}
    tokens, lags, largest = 0, 0, 0
    for sample in samples:
        dialogue = sample.dialogue
        for segment in dialogue.segments:
            if segment.logprobs is None:
                continue
            told = segment.weights or dialogue.weights
            if told not in number:
                raise StaleError(f"{sample.problem.problem_id}: no update made the weights {told}")
            lag = len(served) - 1 - number[told]
            if told == dialogue.weights and lag > most:
                raise StaleError(
                    f"{sample.problem.problem_id}: its weights are {lag} updates old, and "
                    f"rl.staleness={most}"
                )
            tokens, lags = tokens + len(segment.token_ids), lags + lag * len(segment.token_ids)
            largest = max(largest, lag)
    return Lag(lags / max(1, tokens), largest)
