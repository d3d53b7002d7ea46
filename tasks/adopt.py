"""The adopt stage as a Flyte task."""

from infra.cache import at
from infra.pools import CPU, RETRIES, within
from schemas.adopt import AdoptConfig
from schemas.artifacts import Checkpoint
from schemas.model import ModelShape
from tasks.adapter import stage_run

VERSION = "2026.11.29.1"
"""Bump when equal inputs would give other bytes."""


@CPU.task(cache=at(VERSION), report=True, retries=RETRIES, timeout=within(days=2))
async def adopt(config: AdoptConfig, shape: ModelShape) -> Checkpoint:
    """Bring a checkpoint that was made elsewhere, with its tokenizer."""
    from k2core.adopt import adopt_checkpoint

    async with stage_run("adopt", VERSION, config=config, shape=shape) as run:
        return run.publish(Checkpoint, await run.work(adopt_checkpoint))
