"""The scores of each checkpoint as plain figures: what MLflow shows of a model."""

import json
from collections.abc import Sequence

from schemas.lineage import LineageRecord
from tasks.store import open_store
from workflows.audit.compare import flat


def read_measures(records: Sequence[LineageRecord]) -> dict[str, dict[str, float]]:
    """Checkpoint (`base`, `sft`, `policy`) -> measure, e.g. `families.lookup.rate` -> value."""
    found: dict[str, dict[str, float]] = {}
    for record in records:
        if evaluation := record.outputs.get("evaluation"):
            text = open_store().open_file(evaluation, "scores.json").read_bytes()
            for name, value in flat(json.loads(text)):
                place, _, measure = name.rpartition(".")
                group, _, checkpoint = place.rpartition(".")
                if measure in ("rate", "low", "high", "perplexity") and isinstance(value, float):
                    words = group.removeprefix("families.").replace(" ", "_")
                    found.setdefault(checkpoint, {})[f"{words}.{measure}"] = value
    return found
