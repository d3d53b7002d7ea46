"""The tokenize stage as a Flyte task."""

from infra.cache import at
from infra.pools import CPU, RETRIES, within
from schemas.artifacts import Checkpoint, CleanCorpus, RephrasedCorpus, TokenCorpus
from schemas.placement import Placement
from schemas.tokenize import TokenizeConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.1"
"""Bump when equal inputs would give other bytes."""


@CPU.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=2))
async def tokenize(
    config: TokenizeConfig,
    clean: CleanCorpus,
    placement: Placement,
    rephrased: RephrasedCorpus | None = None,
    tokenizer: Checkpoint | None = None,
) -> TokenCorpus:
    """Train the byte-level BPE, or take a model's, and write the mixture as IndexedDatasets."""
    from k2core.tokenize import tokenize_corpora

    async with stage_run(
        "tokenize",
        VERSION,
        config=config,
        clean=clean,
        rephrased=rephrased,
        tokenizer=tokenizer,
        placement=placement,
    ) as run:
        return run.publish(TokenCorpus, await run.work(tokenize_corpora))
