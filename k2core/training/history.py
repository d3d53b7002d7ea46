"""What a training run has measured so far; saved with each state, so curves survive a kill."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from schemas.base import Config


class ClippedHead(Config):
    """One head that QK-Clip rescaled."""

    step: int
    layer: int
    head: int
    max_logit: float
    factor: float


class History(Config):
    """One entry a step, from step 1 on."""

    losses: list[float] = Field(default_factory=list)
    """Loss of each global batch."""
    grad_norms: list[float] = Field(default_factory=list)
    """Before clipping."""
    max_logits: list[list[float]] = Field(default_factory=list)
    """Largest attention logit of each layer."""
    clips: list[ClippedHead] = Field(default_factory=list)
    """QK-Clip's events."""
    tokens: int = 0
    """Tokens seen."""

    @property
    def num_steps(self) -> int:
        """Steps taken."""
        return len(self.losses)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.model_dump()))

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote; floats come back bit for bit."""
        return cls.model_validate_json(path.read_bytes())

    def summarize(self, num_points: int = 50) -> dict[str, Any]:
        """For training.json: the curves as means over at most `num_points` spans of steps."""
        width = max(1, -(-self.num_steps // num_points))
        starts = range(0, self.num_steps, width)

        def coarse(values: Sequence[float]) -> list[float]:
            spans = [values[start : start + width] for start in starts]
            return [round(sum(span) / len(span), 6) for span in spans]

        largest = [max(step) for step in self.max_logits]
        return {
            "steps": self.num_steps,
            "tokens": self.tokens,
            "steps_per_point": width,
            "losses": coarse(self.losses),
            "grad_norms": coarse(self.grad_norms),
            "max_logits": [round(max(largest[s : s + width]), 6) for s in starts],
            "clipped_heads": len(self.clips),
        }
