"""Rewriting by replicas over a cluster: Ray Data streams documents to whoever is free."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from k2core.rephrase.rewrite import (
    EngineWriter,
    Finished,
    Prompter,
    Rewriting,
    Watch,
    rewrite_with,
    unwatched,
)
from k2core.rephrase.sample import RewriteSource
from k2core.rephrase.styles import RewriteJob, Style
from schemas.placement import Serving
from schemas.rephrase import RephraseConfig

if TYPE_CHECKING:
    from k2core.engines.ray.dataset import Row, Work


class DatasetRephraser:
    """A vLLM engine a replica, with batches of `documents_together`; implements `Rephraser`.

    Args:
        config: the stage's.
        find: brings the model to a node; picklable.
        serving: replicas, and how each serves the model.
    """

    def __init__(self, config: RephraseConfig, find: Callable[[], Path], serving: Serving) -> None:
        self._config, self._find, self._serving = config, find, serving
        folder = find()
        self.count = Prompter(folder, config).count
        self._weights = _name_weights(folder, serving)

    @property
    def name(self) -> str:
        """Digest of the weights, which every replica's are held against."""
        return self._weights

    def rewrite(self, jobs: Sequence[RewriteJob], watch: Watch = unwatched) -> Iterator[Finished]:
        """Rewrite all; yields each document once, in the order in which they are finished.

        Raises:
            RuntimeError: documents did not come back, or a replica serves other weights.
        """
        from k2core.engines.ray.dataset import stream_rows

        styles = {job.style.prompt_id: job.style for job in jobs}
        rows = [
            {"index": index, "prompt_id": job.style.prompt_id, **job.document._asdict()}
            for index, job in enumerate(jobs)
        ]
        size = self._config.documents_together
        batches = [rows[first : first + size] for first in range(0, len(rows), size)]
        open_work = partial(
            _open_work, self._config, self._serving, self._find, self._weights, styles
        )
        missing = set(range(len(jobs)))
        for row in stream_rows(batches, open_work, self._serving):
            index = row["index"]
            if index in missing:  # a batch that was done again brings some twice
                missing.remove(index)
                watch(len(jobs) - len(missing))
                yield Finished(index, Rewriting(*(row[name] for name in Rewriting._fields)))
        if missing:
            raise RuntimeError(
                f"{len(missing)} of {len(jobs)} documents did not come back from the replicas, "
                f"the first is {jobs[min(missing)].document.path}"
            )

    def close(self) -> None:
        """Nothing is held between waves."""


def _name_weights(folder: Path, serving: Serving) -> str:
    """What a replica will say that it serves."""
    import torch

    from k2core.engines.ray.resources import accelerated
    from k2core.engines.vllm.arguments import arithmetic_of
    from k2core.model.digest import checkpoint_digest

    return checkpoint_digest(folder, getattr(torch, arithmetic_of(serving, gpu=accelerated())))


def _open_work(
    config: RephraseConfig,
    serving: Serving,
    find: Callable[[], Path],
    weights: str,
    styles: dict[str, Style],
) -> "Work":
    """What a replica does with a batch, by an engine of its own."""
    from k2core.engines.vllm.arguments import EngineLimits
    from k2core.engines.vllm.engine import VllmEngine

    limits = EngineLimits(
        config.max_model_len, config.documents_together * config.drafts, prefix_caching=False
    )
    folder = find()
    engine = VllmEngine(folder, serving, limits)
    if engine.weights != weights:
        raise RuntimeError(f"{folder}: a replica serves {engine.weights}, expected {weights}")
    writer = EngineWriter(engine, Prompter(folder, config))

    def work(rows: Sequence["Row"]) -> Iterator["Row"]:
        jobs = [
            RewriteJob(
                RewriteSource(*(row[name] for name in RewriteSource._fields)),
                styles[row["prompt_id"]],
            )
            for row in rows
        ]
        for index, rewriting in rewrite_with(config, jobs, writer):
            yield {"index": rows[index]["index"], **rewriting._asdict()}

    return work
