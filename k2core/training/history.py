"""What a training run has measured so far; saved with each state, so curves survive a kill."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import StepStats


@dataclass
class StepLog:
    """One entry a step, from step 1 on."""

    losses: list[float] = field(default_factory=list)
    """Loss of each global batch."""
    grad_norms: list[float] = field(default_factory=list)
    """Before clipping."""
    max_logits: list[list[float]] = field(default_factory=list)
    """Largest attention logit of each layer."""
    clips: list[dict[str, float]] = field(default_factory=list)
    """QK-Clip's events: step, layer, head, max_logit, factor."""
    refused: list[dict[str, float]] = field(default_factory=list)
    """Steps not taken by `Guards`: step, loss, max_loss. Their entries above are as measured."""
    tokens: int = 0
    """Tokens learned from."""

    @property
    def num_steps(self) -> int:
        """Steps taken."""
        return len(self.losses)

    def add(self, stats: "StepStats", max_loss: float = math.inf) -> None:
        """Record one more step, that was refused above `max_loss` or taken."""
        self.losses.append(stats.loss)
        self.grad_norms.append(stats.grad_norm)
        self.max_logits.append(stats.max_logits)
        self.clips += [{"step": self.num_steps, **event._asdict()} for event in stats.clips]
        if stats.taken:
            self.tokens += stats.tokens
        else:
            entry = {"step": self.num_steps, "loss": stats.loss, "max_loss": max_loss}
            self.refused.append(entry)

    def last_losses(self, count: int, since: int = 0) -> list[float]:
        """Losses of the last `count` steps taken after the first `since`, or of fewer."""
        left_out = {entry["step"] for entry in self.refused}
        found: list[float] = []
        for step in range(self.num_steps, since, -1):
            if len(found) == count:
                break
            if step not in left_out:
                found.append(self.losses[step - 1])
        return found[::-1]

    def counts(self) -> dict[str, float]:
        """What a stage says of its training in one line."""
        last = self.last_losses(10)
        return {
            "steps": self.num_steps,
            "tokens": self.tokens,
            "loss": round(sum(last) / len(last), 4),
            "clipped_heads": len(self.clips),
            "refused_steps": len(self.refused),
        }

    def to_json(self) -> str:
        """For `from_json`; floats come back bit for bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> "StepLog":
        """What `to_json` gave."""
        return cls(**json.loads(text))

    def summarize(self, num_points: int = 50) -> dict[str, object]:
        """For training.json: the curves over at most `num_points` spans of steps."""
        width = max(1, -(-self.num_steps // num_points))
        starts = range(0, self.num_steps, width)

        def average(values: Sequence[float]) -> list[float]:
            spans = [_finite(values[start : start + width]) for start in starts]
            return [round(sum(span) / len(span), 6) if span else 0.0 for span in spans]

        largest = [max(_finite(step), default=0.0) for step in self.max_logits]
        return {
            "steps": self.num_steps,
            "tokens": self.tokens,
            "steps_per_point": width,
            "losses": average(self.losses),
            "grad_norms": average(self.grad_norms),
            "max_logits": [round(max(largest[s : s + width]), 6) for s in starts],
            "clipped_heads": len(self.clips),
            "refused_steps": len(self.refused),
        }


def _finite(values: Sequence[float]) -> list[float]:
    """A refused step may have measured NaN, which JSON and an average cannot take."""
    return [value for value in values if math.isfinite(value)]
