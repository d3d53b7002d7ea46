"""The evaluate stage as a Flyte task."""

from infra.cache import at
from infra.pools import RETRIES, SERVE, within
from schemas.artifacts import Checkpoint, Evaluation, TokenCorpus, TrajectorySet
from schemas.evaluate import EvaluateConfig
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from tasks.adapter import stage_run

VERSION = "2026.11.29.2"
"""Bump when equal inputs would give other bytes."""


@SERVE.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=2))
async def evaluate(
    config: EvaluateConfig,
    problems: ProblemsConfig,
    base: Checkpoint,
    sft: Checkpoint,
    policy: Checkpoint,
    tokens: TokenCorpus,
    trajectories: TrajectorySet,
    placement: Placement,
) -> Evaluation:
    """Grade base, SFT and RL checkpoints on held-out problems and text."""
    from k2core.evaluate import evaluate_checkpoints

    async with stage_run(
        "evaluate",
        VERSION,
        config=config,
        problems=problems,
        **{"base": base, "sft": sft, "policy": policy},
        tokens=tokens,
        trajectories=trajectories,
        placement=placement,
    ) as run:
        return run.publish(Evaluation, await run.work(evaluate_checkpoints))
