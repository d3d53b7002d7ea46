"""Steps that must not be taken: a loss that is not finite, or a spike by z-score."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from k2core.training.history import StepLog
from schemas.optim import Guards

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import StepStats

_LEAST_SPREAD = 0.01
"""Of the mean: losses that hardly vary would make a spike of any ripple."""
_NAMED = 8
"""Documents that an error names; the file beside the states lists all."""


class BatchDocument(NamedTuple):
    """A piece of text in a batch."""

    row: int
    """Of the batch."""
    name: str
    """Such as a document's or a trajectory's id."""
    start: int = 0
    """Its first token in the row's text."""
    length: int = 0
    """Tokens."""


class LossSpread(NamedTuple):
    """Losses before a step."""

    mean: float
    deviation: float

    def z(self, loss: float) -> float:
        """How many standard deviations a loss lies above the mean."""
        return (loss - self.mean) / self.deviation


def spread_before(history: StepLog, window: int, since: int = 0) -> LossSpread | None:
    """Of the last `window` steps taken, none before step `since`; None while there are fewer."""
    losses = history.last_losses(window, since)
    if len(losses) < window:
        return None
    mean = statistics.fmean(losses)
    return LossSpread(mean, max(statistics.stdev(losses), _LEAST_SPREAD * abs(mean)))


def find_max_loss(spread: LossSpread | None, guards: Guards) -> float:
    """The loss above which a step is refused; infinite where no loss is a spike."""
    if spread is None or guards.spike == "log":
        return math.inf
    return spread.mean + guards.spike_z * spread.deviation


def must_stop(history: StepLog, guards: Guards) -> bool:
    """Whether the step just refused ends the run, or is left out and the next one follows."""
    found = history.refused[-1]
    finite = math.isfinite(found["loss"]) and found["loss"] > found["max_loss"]
    action = guards.spike if finite else guards.nonfinite
    recent = [e for e in history.refused if e["step"] > history.num_steps - guards.window]
    return action == "stop" or len(recent) > guards.max_skipped


def describe(stats: "StepStats", spread: LossSpread | None, max_loss: float) -> str:
    """What was wrong with a refused step."""
    if spread is not None and max_loss < stats.loss < math.inf:
        return (
            f"loss {stats.loss:.4f} is a spike: {spread.z(stats.loss):.1f} standard deviations "
            f"above the mean {spread.mean:.4f} of the steps before, at most {max_loss:.4f} is taken"
        )
    return f"loss {stats.loss}, gradient norm {stats.grad_norm}"


def name_documents(documents: Sequence[BatchDocument]) -> str:
    """The first few, and how many more there are."""
    names = list(dict.fromkeys(document.name for document in documents))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def write_refused(
    path: Path, entry: Mapping[str, float], documents: Sequence[BatchDocument]
) -> None:
    """List a refused step's documents; whole or not at all."""
    listed = {**entry, "documents": [document._asdict() for document in documents]}
    aside = path.with_suffix(".aside")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(json.dumps(listed, indent=1))
    aside.rename(path)
