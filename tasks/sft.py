"""The sft stage as a Flyte task."""

from infra.cache import at
from infra.pools import RETRIES, TRAIN, within
from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.placement import Placement
from schemas.sft import SftConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.1"
"""Bump when equal inputs would give other bytes."""


@TRAIN.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=14))
async def sft(
    config: SftConfig,
    base: Checkpoint,
    trajectories: TrajectorySet,
    placement: Placement,
) -> Checkpoint:
    """Finetune the base model on accepted trajectories."""
    from k2core.sft import finetune

    async with stage_run(
        "sft", VERSION, config=config, base=base, trajectories=trajectories, placement=placement
    ) as run:
        return run.publish(Checkpoint, await run.work(finetune))
