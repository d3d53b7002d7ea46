"""Pre-training of the base model (arXiv:2507.20534, section 2.5)."""

from pydantic import Field

from schemas.base import Config
from schemas.optim import Guards, OptimConfig, Schedule


class PretrainConfig(Config):
    """MuonClip on packed text from random weights."""

    optim: OptimConfig = OptimConfig(lr=5e-3)
    """The optimizer."""
    schedule: Schedule = Schedule(num_steps=90)
    """Learning rate over the steps; 90 steps of 32 x 256 tokens are 0.7 M tokens."""
    guards: Guards = Guards()
    """What stops it, or is left out: losses that are not finite or jump."""
    sequence_length: int = Field(256, ge=16)
    """Tokens a sequence; at most the model's max_position_embeddings (K2: 4,096)."""
    batch_size: int = Field(32, ge=1)
    """Sequences an optimizer step (K2: 67 M tokens a step)."""
    checkpoint_every: int = Field(40, ge=1)
    """Steps between states that a killed run resumes from."""
    seed: int = Field(0, ge=0)
    """Decides the initial weights and the order of the samples."""
