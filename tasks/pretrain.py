"""The pretrain stage as a Flyte task."""

from infra.cache import at
from infra.pools import RETRIES, TRAIN, within
from schemas.artifacts import Checkpoint, TokenCorpus
from schemas.model import ModelShape
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig
from tasks.adapter import stage_run

VERSION = "2026.11.28.2"
"""Bump when equal inputs would give other bytes."""


@TRAIN.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=120))
async def pretrain(
    config: PretrainConfig,
    shape: ModelShape,
    tokens: TokenCorpus,
    placement: Placement,
) -> Checkpoint:
    """Train the base model from random weights with MuonClip."""
    from k2core.pretrain import pretrain_model

    async with stage_run(
        "pretrain", VERSION, config=config, shape=shape, tokens=tokens, placement=placement
    ) as run:
        return run.publish(Checkpoint, await run.work(pretrain_model))
