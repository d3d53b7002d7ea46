"""What a training run has measured so far; saved with each state, so curves survive a kill."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import StepStats


@dataclass
class History:
    """One entry a step, from step 1 on."""

    losses: list[float] = field(default_factory=list)
    """Loss of each global batch."""
    grad_norms: list[float] = field(default_factory=list)
    """Before clipping."""
    max_logits: list[list[float]] = field(default_factory=list)
    """Largest attention logit of each layer."""
    clips: list[dict[str, float]] = field(default_factory=list)
    """QK-Clip's events: step, layer, head, max_logit, factor."""
    tokens: int = 0
    """Tokens seen."""

    @property
    def num_steps(self) -> int:
        """Steps taken."""
        return len(self.losses)

    def add(self, stats: "StepStats") -> None:
        """Record one more step."""
        self.losses.append(stats.loss)
        self.grad_norms.append(stats.grad_norm)
        self.max_logits.append(stats.max_logits)
        self.clips += [{"step": self.num_steps, **event._asdict()} for event in stats.clips]
        self.tokens += stats.tokens

    def save(self, path: Path) -> None:
        """Write as JSON; floats come back bit for bit."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_bytes()))

    def summarize(self, num_points: int = 50) -> dict[str, Any]:
        """For training.json: the curves over at most `num_points` spans of steps."""
        width = max(1, -(-self.num_steps // num_points))
        starts = range(0, self.num_steps, width)

        def average(values: Sequence[float]) -> list[float]:
            spans = [values[start : start + width] for start in starts]
            return [round(sum(span) / len(span), 6) for span in spans]

        largest = [max(step) for step in self.max_logits]
        return {
            "steps": self.num_steps,
            "tokens": self.tokens,
            "steps_per_point": width,
            "losses": average(self.losses),
            "grad_norms": average(self.grad_norms),
            "max_logits": [round(max(largest[s : s + width]), 6) for s in starts],
            "clipped_heads": len(self.clips),
        }
