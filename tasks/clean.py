"""The clean stage as a Flyte task."""

from infra.cache import at
from infra.pools import CPU, RETRIES, within
from schemas.artifacts import CleanCorpus, RawCorpus
from schemas.clean import CleanConfig
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.3"
"""Bump when equal inputs would give other bytes."""


@CPU.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=2))
async def clean(
    config: CleanConfig,
    problems: ProblemsConfig,
    raw: RawCorpus,
    placement: Placement,
) -> CleanCorpus:
    """Keep the documents worth reading, and every reject with its reason."""
    from k2core.clean import clean_corpus

    async with stage_run(
        "clean", VERSION, config=config, problems=problems, raw=raw, placement=placement
    ) as run:
        return run.publish(CleanCorpus, await run.work(clean_corpus))
