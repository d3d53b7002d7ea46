"""The ingest stage as a Flyte task."""

from infra.cache import at
from infra.pools import CPU, RETRIES, within
from schemas.artifacts import RawCorpus
from schemas.ingest import IngestConfig
from schemas.placement import Placement
from tasks.adapter import stage_run

VERSION = "2026.11.29.7"
"""Bump when equal inputs would give other bytes."""


@CPU.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(hours=12))
async def ingest(
    config: IngestConfig,
    placement: Placement,
) -> RawCorpus:
    """Collect raw documents from installed sources, each with its licence and digest."""
    from k2core.ingest import ingest_sources

    async with stage_run("ingest", VERSION, config=config, placement=placement) as run:
        return run.publish(RawCorpus, await run.work(ingest_sources))
