"""Supervised finetuning on accepted trajectories (arXiv:2507.20534, section 3.1)."""

from pydantic import Field

from schemas.base import Config
from schemas.optim import Guards, OptimConfig, Schedule
from schemas.rubrics import CriticPairs


class SftConfig(Config):
    """MuonClip on packed dialogues; the loss is on the assistant's tokens only."""

    optim: OptimConfig = OptimConfig(lr=5e-3)
    """The optimizer; K2 finetunes with Muon, too."""
    schedule: Schedule = Schedule(num_steps=340, decay_frac=0.4)
    """Learning rate over the steps; the dialogues are shuffled anew each epoch."""
    guards: Guards = Guards(spike="log")
    """As in pre-training; losses of a few long dialogues jump by themselves."""
    sequence_length: int = Field(512, ge=64)
    """Tokens a row; several dialogues share one, and attention never crosses between them."""
    batch_size: int = Field(16, ge=1)
    """Rows an optimizer step."""
    max_skipped_frac: float = Field(0.03, ge=0, le=1)
    """Dialogues longer than a row are left out; a larger share of them is an error."""
    balance_experts: bool = False
    """Go on moving the router's balancing bias, as in pre-training."""
    critic: CriticPairs | None = None
    """Judgements to learn from, beside the dialogues: the critic's bootstrap."""
    checkpoint_every: int = Field(40, ge=1)
    """Steps between states that a killed run resumes from."""
    seed: int = Field(0, ge=0)
    """Decides the order of the dialogues."""
