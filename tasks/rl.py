"""The rl stage as a Flyte task."""

from infra.cache import at
from infra.pools import RETRIES, RL, within
from schemas.artifacts import Checkpoint, RlResult, RolloutLog, TrajectorySet
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.rl import RlConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.6"
"""Bump when equal inputs would give other bytes."""


@RL.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=30))
async def rl(
    config: RlConfig,
    problems: ProblemsConfig,
    sft: Checkpoint,
    trajectories: TrajectorySet,
    placement: Placement,
) -> RlResult:
    """Improve the policy on verifiable rewards with K2's objective."""
    from k2core.rl import train_policy

    async with stage_run(
        "rl",
        VERSION,
        config=config,
        problems=problems,
        sft=sft,
        trajectories=trajectories,
        placement=placement,
    ) as run:
        drafts = await run.work(train_policy)
        return RlResult(
            policy=run.publish(Checkpoint, drafts.policy, "policy"),
            rollouts=run.publish(RolloutLog, drafts.rollouts, "rollouts"),
        )
