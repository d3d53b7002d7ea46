"""The synthesize stage as a Flyte task."""

from infra.cache import at
from infra.pools import CPU, RETRIES, within
from schemas.artifacts import TrajectorySet
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig
from tasks.adapter import stage_run

VERSION = "2026.11.28.4"
"""Bump when equal inputs would give other bytes."""


@CPU.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=7))
async def synthesize(
    config: SynthesizeConfig,
    problems: ProblemsConfig,
    placement: Placement,
) -> TrajectorySet:
    """Make tool-use trajectories, judge them and keep what passes."""
    from k2core.synthesize import synthesize_trajectories

    async with stage_run(
        "synthesize", VERSION, config=config, problems=problems, placement=placement
    ) as run:
        return run.publish(TrajectorySet, await run.work(synthesize_trajectories))
