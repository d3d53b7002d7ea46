"""The scores of each checkpoint as plain figures: what MLflow shows of a model."""

import json
import re
from collections.abc import Sequence

from schemas.evaluate import CHECKPOINTS
from schemas.lineage import LineageRecord
from tasks.store import open_store
from workflows.audit.compare import flat

_MEASURES = ("rate", "low", "high", "perplexity")
_STRANGE = re.compile(r"[^\w.:/-]+", re.ASCII)
"""What MLflow takes in no name of a metric."""


def read_measures(records: Sequence[LineageRecord]) -> dict[str, dict[str, float]]:
    """Checkpoint (`base`, `sft`, `policy`) -> measure, e.g. `families.lookup.rate` -> value."""
    found: dict[str, dict[str, float]] = {}
    for record in records:
        if evaluation := record.outputs.get("evaluation"):
            text = open_store().open_file(evaluation, "scores.json").read_bytes()
            for name, value in flat(json.loads(text)):
                *place, measure = name.split(".")
                checkpoint = next((part for part in place if part in CHECKPOINTS), "")
                if checkpoint and measure in _MEASURES and isinstance(value, float):
                    place.remove(checkpoint)
                    words = ".".join(place).removeprefix("families.")
                    kept = found.setdefault(checkpoint, {})
                    kept[f"{_STRANGE.sub('_', words)}.{measure}"] = value
    return found
