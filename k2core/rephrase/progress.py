"""Groups of documents rewritten, each kept so that a killed run does not do it again."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from k2core.engines.protocol import Engine
from k2core.rephrase.rephraser import find_rephraser
from k2core.rephrase.rewrite import (
    EngineWriter,
    Prompter,
    Rewriting,
    Writer,
    cut_text,
    rewrite_together,
    room_for,
)
from k2core.rephrase.styles import Job
from k2core.store import Workspace
from schemas.rephrase import RephraseConfig


class Rewritten(NamedTuple):
    """All that was written, and by whom."""

    jobs: list[Job]
    """The documents begun; fewer than asked for if the tokens ran out."""
    rewritings: list[Rewriting]
    writer: str
    """Digest of the weights, or where the endpoint is."""


def rewrite_all(
    config: RephraseConfig,
    jobs: Sequence[Job],
    workspace: Workspace,
    start: Callable[[], Writer],
) -> Rewritten:
    """Rewrite group by group until all are done or the tokens are spent.

    A document is begun only if its longest possible rewrite fits into what is left of the tokens:
    the cap is never passed, and every document that was begun is whole.

    What is kept against a kill is the group: a batch's rounding depends on who is in it, so a
    document of a vLLM batch done again alone might come out another. `documents_together=1` keeps
    every document.

    Args:
        config: the stage's.
        jobs: documents in their styles, in order.
        workspace: whose scratch keeps finished groups.
        start: starts the writer, which is done only if a group is missing.
    """
    size = config.documents_together
    begun: list[Job] = []
    rewritings: list[Rewriting] = []
    name, spent = "", 0
    with ExitStack() as stack:
        writer = None
        for number, first in enumerate(range(0, len(jobs), size)):
            group = jobs[first : first + size]
            path = workspace.scratch / f"group-{number:05d}.json"
            if not path.exists():
                if writer is None:
                    workspace.report.progress(first, len(jobs), f"starting {config.rewriter}")
                    writer = stack.enter_context(closing(start()))
                began = time.monotonic()
                fitting = count_fitting(config, group, writer, config.max_tokens_spent - spent)
                found = rewrite_together(group[:fitting], writer, config.chunk_tokens)
                _keep(path, writer.name, found)
                rate = sum(r.num_tokens for r in found) / (time.monotonic() - began)
                workspace.report.metrics(number, {"tokens_per_second": rate})
                workspace.report.progress(first + len(group), len(jobs), f"{rate:.0f} tokens/s")
            name, found = _read(path)
            begun += group[: len(found)]
            rewritings += found
            spent += sum(rewriting.num_tokens for rewriting in found)
            if len(found) < len(group):
                break
    return Rewritten(begun, rewritings, name)


def count_fitting(
    config: RephraseConfig, jobs: Sequence[Job], writer: Writer, tokens_left: int
) -> int:
    """How many of the documents, from the first, surely take no more than the tokens left."""
    for number, job in enumerate(jobs):
        chunks = cut_text(job.document.text, config.chunk_tokens, writer.count)
        tokens_left -= sum(room_for(config, writer.count(chunk.text)) for chunk in chunks)
        if tokens_left < 0:
            return number
    return len(jobs)


def start_writer(config: RephraseConfig, models: Path) -> Writer:
    """The endpoint's writer, or engines that serve `config.model`, kept below `models`."""
    if config.endpoint is not None:
        from k2core.rephrase.endpoint import EndpointWriter

        return EndpointWriter(config, config.endpoint)
    folder = find_rephraser(config.model, models)
    return EngineWriter(start_engine(config, folder), Prompter(folder, config))


def start_engine(config: RephraseConfig, folder: Path) -> Engine:
    """VLLM engines that serve the model; each document's result depends on its own group alone."""
    from k2core.engines.ray import serve

    return serve(
        folder,
        num_engines=config.num_engines,
        max_model_len=config.max_model_len,
        max_num_seqs=max(1, -(-config.documents_together // config.num_engines)),
        dtype=config.dtype,
        prefix_caching=False,
    )


def _keep(path: Path, name: str, rewritings: list[Rewriting]) -> None:
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps({"writer": name, "rewritings": rewritings}))
    aside.rename(path)


def _read(path: Path) -> tuple[str, list[Rewriting]]:
    kept = json.loads(path.read_text())
    return kept["writer"], [Rewriting(*fields) for fields in kept["rewritings"]]
