"""Experiments beside the pipeline: what a choice of the recipe is worth."""

from pydantic import Field

from schemas.base import Config
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule


class RephrasingAblation(Config):
    """Repeat or rewrite, at equal tokens (arXiv:2507.20534, table 1)."""

    seeds: int = Field(3, ge=1)
    """Worlds of people, each with weights and an order of its own."""
    num_taught: int = Field(60, ge=1)
    """People from whom the model learns the language, questions included."""
    num_asked: int = Field(60, ge=1)
    """People whom it reads about in an arm's way and is asked about."""
    base_tokens: int = Field(500_000, ge=1)
    """Tokens of the first stage, the same in all arms."""
    replay_frac: float = Field(0.5, ge=0)
    """Tokens of the first stage's text mixed into the second, a token of the arm's."""
    base_batch: int = Field(8, ge=1)
    """Rows a step of the first stage."""
    batch_size: int = Field(2, ge=1)
    """Rows a step of the arms' stage: few, so that few tokens are many steps."""
    sequence_length: int = Field(128, ge=16)
    """Tokens a row."""
    optim: OptimConfig = OptimConfig(lr=1e-2)
    """MuonClip."""
    schedule: Schedule = Schedule()
    """Its shape; the number of steps follows from the tokens."""
    shape: ModelShape = ModelShape(
        num_layers=2,
        hidden_size=96,
        q_lora_rank=48,
        kv_lora_rank=32,
        qk_nope_head_dim=16,
        v_head_dim=24,
        ffn_hidden_size=256,
        moe_ffn_hidden_size=128,
        num_experts=4,
    )
    """The model; its vocabulary is the world's words."""
