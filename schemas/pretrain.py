"""Pre-training of the base model (arXiv:2507.20534, section 2.5)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config
from schemas.optim import Guards, OptimConfig, Schedule


class Phase(Config):
    """Steps after the schedule under a learning rate, and perhaps a sequence length, of their own.

    K2: an anneal of 400 B tokens at 4,096, then 60 B at 32,768 with YaRN.
    """

    name: str = Field(pattern=r"^[a-z0-9_\-]+$")
    """For people, such as `anneal` or `long`."""
    num_steps: int | None = Field(None, ge=1)
    """Optimizer steps; give these or `num_tokens`."""
    num_tokens: int | None = Field(None, ge=1)
    """Tokens, in whole steps."""
    lr: float = Field(gt=0)
    """Learning rate at the start."""
    final_lr: float = Field(ge=0)
    """At the end; above `lr` in a warm-up."""
    decay: Literal["linear", "cosine"] = "cosine"
    """The way from `lr` to `final_lr`."""
    sequence_length: int | None = Field(None, ge=16)
    """Tokens a sequence; None is `pretrain.sequence_length`."""
    batch_size: int | None = Field(None, ge=1)
    """Sequences a step; None keeps the tokens of a step (K2's never change)."""
    yarn_factor: float | None = Field(None, ge=1)
    """Rotary scaling while it lasts; None is `model.yarn_factor`."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.num_steps is None) == (self.num_tokens is None):
            raise ValueError(
                f"phase {self.name!r} needs either num_steps or num_tokens; it has "
                f"num_steps={self.num_steps} and num_tokens={self.num_tokens}"
            )
        return self


class PretrainConfig(Config):
    """MuonClip on packed text from random weights."""

    optim: OptimConfig = OptimConfig(lr=5e-3)
    """The optimizer."""
    schedule: Schedule = Schedule(num_steps=90)
    """Learning rate over the steps; 90 steps of 32 x 256 tokens are 0.7 M tokens."""
    phases: tuple[Phase, ...] = ()
    """What follows the schedule, in turn; each reads a part of the text, by its share of tokens."""
    yarn_factor: float | None = Field(None, ge=1)
    """Rotary scaling during the schedule; None is `model.yarn_factor` (K2: 1 until `long`)."""
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

    def batch_of(self, phase: Phase) -> int:
        """Sequences a step of a phase."""
        if phase.batch_size is not None:
            return phase.batch_size
        return self.batch_size * self.sequence_length // self.length_of(phase)

    def length_of(self, phase: Phase) -> int:
        """Tokens a sequence of a phase."""
        return phase.sequence_length or self.sequence_length

    def steps_of(self, phase: Phase) -> int:
        """Optimizer steps of a phase."""
        if phase.num_tokens is None:
            return phase.num_steps or 0
        return phase.num_tokens // (self.batch_of(phase) * self.length_of(phase))

    @model_validator(mode="after")
    def _phases_have_steps(self) -> Self:
        for phase in self.phases:
            tokens, length = self.batch_size * self.sequence_length, self.length_of(phase)
            if phase.batch_size is None and tokens % length:
                raise ValueError(
                    f"phase {phase.name!r}: a step's {tokens} tokens are no whole number of "
                    f"sequences of {length}: set its batch_size, or another sequence_length"
                )
            if self.steps_of(phase) == 0:
                raise ValueError(
                    f"phase {phase.name!r}: num_tokens={phase.num_tokens} is less than one step of "
                    f"{self.batch_of(phase)} x {length} tokens"
                )
        return self
