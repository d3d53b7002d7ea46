"""What agents are asked: families of problems, their weights and the held-out split."""

import math
from typing import Self

from pydantic import Field, field_validator, model_validator

from schemas.base import Config

FAMILY_GROUPS = {
    "sum_mental": "math",
    "sum_with_tool": "math",
    "product_with_tool": "math",
    "compare": "math",
    "lookup": "tools",
    "lookup_chain": "tools",
    "retry": "tools",
    "correction": "tools",
    "transfer": "tools",
    "linear_function": "code",
    "text_function": "code",
    "repeat_word": "general",
    "follow_format": "general",
    "pick_word": "general",
}
"""Every family, and its group in the K2 report's evaluation (arXiv:2507.20534, section 4)."""

DEFAULT_WEIGHTS = {
    "sum_mental": 0.25,
    "sum_with_tool": 2.0,
    "product_with_tool": 1.0,
    "compare": 1.5,
    "lookup": 1.0,
    "lookup_chain": 0.75,
    "retry": 0.75,
    "correction": 0.75,
    "transfer": 0.0,
    "linear_function": 0.75,
    "text_function": 0.5,
    "repeat_word": 0.5,
    "follow_format": 0.25,
    "pick_word": 0.5,
}
"""For the tiny model; *transfer* has the longest dialogues, and it never learned them."""


class ProblemsConfig(Config):
    """Families of verifiable problems, split by the hash of what each problem is about."""

    seed: int = Field(0, ge=0)
    """Seed of all problems and of the split."""
    families: dict[str, float] = Field(DEFAULT_WEIGHTS)
    """Relative weight of each family in training; 0 or left out is never asked in training."""
    held_out_frac: float = Field(0.2, gt=0, lt=0.9)
    """Share of all possible contents that only the last examination meets, by their hash."""
    validation_frac: float = Field(0.1, ge=0, lt=0.5)
    """Share of all contents for choosing: checkpoints and settings are compared on these, so that
    the held-out ones stay unseen until the end. Training meets neither."""
    held_out_per_family: int = Field(100, ge=1, le=5_000)
    """Held-out problems of each family with a weight above 0, all about different contents."""
    two_turn_frac: float = Field(0.15, ge=0, le=1)
    """Share of problems whose user tells the goal in two turns, in families that allow it."""

    @field_validator("families")
    @classmethod
    def _known_families(cls, families: dict[str, float]) -> dict[str, float]:
        if strange := sorted(set(families) - set(FAMILY_GROUPS)):
            raise ValueError(f"unknown families {strange}: there are {sorted(FAMILY_GROUPS)}")
        wrong = {n: w for n, w in families.items() if not (math.isfinite(w) and w >= 0)}
        if wrong:
            raise ValueError(f"weights {wrong} are not at least 0 and finite")
        if not any(families.values()):
            raise ValueError("all weights are 0: give at least one family a weight above 0")
        return families

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.held_out_frac + self.validation_frac >= 1:
            raise ValueError(
                f"held_out_frac={self.held_out_frac} + validation_frac={self.validation_frac} "
                "leaves no contents for training"
            )
        return self
