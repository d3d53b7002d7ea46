"""Who rewrites: engines served here, replicas over a cluster, or an endpoint."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from k2core.engines.protocol import Model, StreamingEngine
from k2core.rephrase.dataset import DatasetRephraser
from k2core.rephrase.rephraser import find_rephraser
from k2core.rephrase.rewrite import (
    EngineWriter,
    Finished,
    Prompter,
    Watch,
    Writer,
    rewrite_with,
    unwatched,
)
from k2core.rephrase.styles import RewriteJob
from schemas.placement import Serving
from schemas.rephrase import RephraseConfig


class Rephraser(Protocol):
    """Rewrites whole documents."""

    @property
    def name(self) -> str:
        """Digest of the weights, or where the endpoint is."""

    def count(self, text: str) -> int:
        """Tokens of a text."""

    def rewrite(self, jobs: Sequence[RewriteJob], watch: Watch = unwatched) -> Iterator[Finished]:
        """Rewrite all; yields each document when it is finished."""

    def close(self) -> None:
        """Free what was held."""


class GroupRephraser:
    """Rewrites the documents of a group side by side; implements `Rephraser`.

    Args:
        writer: who writes their chunks.
        config: sizes, drafts and the gate.
    """

    def __init__(self, writer: Writer, config: RephraseConfig) -> None:
        self._writer, self._config = writer, config
        self.count, self.close = writer.count, writer.close

    @property
    def name(self) -> str:
        """The writer's."""
        return self._writer.name

    def rewrite(self, jobs: Sequence[RewriteJob], watch: Watch = unwatched) -> Iterator[Finished]:
        """Rewrite the group."""
        return rewrite_with(self._config, jobs, self._writer, watch)


def start_rephraser(config: RephraseConfig, models: Path, serving: Serving) -> Rephraser:
    """The endpoint, or engines that serve `config.model`, which is kept below `models`."""
    if config.endpoint is not None:
        from k2core.rephrase.endpoint import EndpointWriter

        return GroupRephraser(EndpointWriter(config, config.endpoint), config)
    find = partial(find_rephraser, config.model, models)
    if config.by_dataset:
        return DatasetRephraser(config, find, serving)
    prompter = Prompter(find(), config)  # before engines on this node look for it, too
    writer = EngineWriter(start_engine(config, find, serving), prompter)
    return GroupRephraser(writer, config)


def start_engine(config: RephraseConfig, model: Model, serving: Serving) -> StreamingEngine:
    """VLLM engines that serve the model; each document's result depends on its own group alone."""
    from k2core.engines.ray import serve

    return serve(
        model,
        serving,
        max_model_len=config.max_model_len,
        max_num_seqs=max(1, -(-config.documents_together * config.drafts // serving.num_engines)),
        prefix_caching=False,
    )
