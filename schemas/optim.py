"""The optimizer and its schedule (arXiv:2507.20534, algorithm 1; arXiv:2502.16982)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config
from schemas.source import DOTTED, NamedCode


class OptimConfig(NamedCode):
    """By default Muon for matrices, AdamW for the rest, QK-Clip per attention head."""

    kind: str = Field("MuonClip", pattern=rf"^(MuonClip|Muon|AdamW|{DOTTED})$")
    """MuonClip; Muon, without the clip; AdamW for every parameter; or an optimizer of one's own as
    `package.module:Class`, a subclass of `k2core.optim.rule.UpdateRule`."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of weights and activations; the optimizer's masters and states are fp32 in either case."""
    fp8_storage: bool = False
    """Keep inputs of the experts' up-projections and of their SwiGLU in E4M3 until the backward."""
    lr: float = Field(2e-3, gt=0)
    """Peak learning rate, of Muon and AdamW alike (updates are RMS-matched)."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay, on every parameter."""
    momentum: float = Field(0.95, ge=0, lt=1)
    """Muon's momentum."""
    nesterov: bool = False
    """Feed Nesterov momentum to Newton-Schulz (Moonlight); K2's algorithm 1 does not."""
    newton_schulz_steps: int = Field(5, ge=1)
    """Iterations of the quintic Newton-Schulz orthogonalisation."""
    newton_schulz_precision: Literal["fp32", "bf16"] = "fp32"
    """Of the orthogonalisation. bf16, as torch.optim.Muon's, is right to 1 in 100 and several times
    faster on matrix units (GPUs, AMX)."""
    update_rms: float = Field(0.2, gt=0)
    """Update scale: rms * sqrt(max(rows, columns)) matches AdamW's update RMS."""
    adam_betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's moment decay."""
    adam_eps: float = Field(1e-8, gt=0)
    """AdamW's epsilon."""
    clip_grad: float = Field(1.0, ge=0)
    """Global gradient norm is scaled down to this; 0 turns it off."""
    split_gate_up: bool = True
    """Orthogonalise the gate and the up half of a fused feed-forward matrix each for itself."""
    split_heads: bool = False
    """Orthogonalise each head's rows of the query, key and value up-projections for themselves."""
    split_experts: bool = True
    """Orthogonalise each routed expert for itself; off, a layer's stack is one tall matrix."""
    qk_clip_tau: float = Field(100.0, gt=0)
    """QK-Clip rescales every head whose max attention logit exceeds this (K2: 100)."""
    qk_clip_per_head: bool = True
    """Rescale each head for itself; off, a layer's worst head decides for all its heads."""


class Schedule(Config):
    """Warm-up, constant, then cosine decay to a fraction of the peak."""

    num_steps: int = Field(100, ge=1)
    """Optimizer steps in all."""
    warmup_frac: float = Field(0.05, ge=0, le=1)
    """Share of the steps with a linear rise."""
    decay_frac: float = Field(0.3, ge=0, le=1)
    """Share of the steps with the cosine decay, at the end."""
    final_lr_frac: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end, as a share of the peak (K2: 0.1)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup_frac + self.decay_frac > 1:
            raise ValueError(
                f"warmup_frac={self.warmup_frac} + decay_frac={self.decay_frac} exceeds 1"
            )
        return self


class Guards(Config):
    """What becomes of a step whose loss or gradient is not finite, or whose loss jumps.

    Such a step's update is never applied but with `log`.
    """

    nonfinite: Literal["stop", "skip"] = "stop"
    """Stop with the step, its documents and the last good state named, or leave the batch out."""
    spike: Literal["stop", "skip", "log"] = "stop"
    """The same for a loss spike; `log` takes the step and only records its z-score."""
    spike_z: float = Field(10.0, gt=0)
    """A spike is a loss this many standard deviations above the mean of the last ones."""
    window: int = Field(32, ge=8)
    """Losses before a step that it is judged by; until there are so many, none is a spike."""
    max_skipped: int = Field(3, ge=1)
    """Batches left out within a window; one more stops: a model that diverges is not mended so."""
