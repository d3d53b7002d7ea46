"""The release stage as a Flyte task."""

from infra.cache import at
from infra.pools import CPU, RETRIES, within
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, Release, TokenCorpus, TrajectorySet
from schemas.lineage import LineageRecord
from schemas.placement import Placement
from schemas.release import ReleaseConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.1"
"""Bump when equal inputs would give other bytes."""


@CPU.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=1))
async def release(
    config: ReleaseConfig,
    base: Checkpoint,
    policy: Checkpoint,
    evaluation: Evaluation,
    raw: RawCorpus,
    tokens: TokenCorpus,
    trajectories: TrajectorySet,
    lineage: list[LineageRecord],
    placement: Placement,
) -> Release:
    """Assemble base and policy weights with card, licences, lineage and parity proof."""
    from k2core.release import assemble_release

    data = {"raw": raw, "tokens": tokens, "trajectories": trajectories}
    made = {"base": base, "policy": policy, "evaluation": evaluation, "lineage": lineage}
    inputs = {"config": config, **made, **data, "placement": placement}
    async with stage_run("release", VERSION, **inputs) as run:
        return run.publish(Release, await run.work(assemble_release))
