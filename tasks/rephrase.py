"""The rephrase stage as a Flyte task."""

from infra.cache import at
from infra.pools import RETRIES, SERVE, within
from schemas.artifacts import CleanCorpus, RephrasedCorpus
from schemas.placement import Placement
from schemas.rephrase import RephraseConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.2"
"""Bump when equal inputs would give other bytes."""


@SERVE.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=7))
async def rephrase(
    config: RephraseConfig,
    clean: CleanCorpus,
    placement: Placement,
) -> RephrasedCorpus:
    """Rewrite knowledge and mathematics text; keep what passes the fidelity gate."""
    from k2core.rephrase import rephrase_corpus

    async with stage_run(
        "rephrase", VERSION, config=config, clean=clean, placement=placement
    ) as run:
        return run.publish(RephrasedCorpus, await run.work(rephrase_corpus))
