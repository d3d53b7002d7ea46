"""What stands behind verdicts: held-out problems met, documents repeated, passages cut out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core.clean.contamination import HeldOut
from k2core.clean.verdict import Twin, Verdict
from k2core.reporting import Reporter
from k2core.tables import write_shard
from schemas.corpus import Duplicate, Overlap, RepeatedPassage

_ROWS = 30
"""Problems in the report; `overlaps/` has them all."""


class Evidence:
    """Rows of a shard until they are written, and what the report says of all shards."""

    def __init__(self, held_out: HeldOut) -> None:
        self._held_out = held_out
        self._overlaps: list[dict[str, object]] = []
        self._duplicates: list[dict[str, object]] = []
        self._removed: list[dict[str, object]] = []
        self._met: dict[str, dict[str, Any]] = {}

    def add(self, document: Mapping[str, Any], verdict: Verdict, twin: Twin | None) -> None:
        """A document that was dropped."""
        if twin:
            self._add_twin(document, twin)
        elif verdict.rule == "decontamination":
            self._add_leak(document)

    def add_removed(self, passages: Sequence[dict[str, object]]) -> None:
        """Passages that were cut out of a kept document, as `RepeatedPassage` rows."""
        self._removed += passages

    def _add_leak(self, document: Mapping[str, Any]) -> None:
        about = {key: document[key] for key in ("doc_id", "source", "path")}
        for overlap in self._held_out.find_overlaps(document["text"]):
            self._overlaps.append({**about, **overlap._asdict()})
            met = self._met.setdefault(
                overlap.problem_id,
                {"problem": overlap.problem_id, "documents": 0, "covered_frac": 0.0},
            )
            met["documents"] += 1
            if overlap.covered_frac > met["covered_frac"]:
                met |= {
                    "covered_frac": round(overlap.covered_frac, 3),
                    "most of it in": document["path"],
                    "ngram": overlap.ngram,
                }

    def _add_twin(self, document: Mapping[str, Any], twin: Twin) -> None:
        verdict = twin.verdict
        self._duplicates.append(
            {
                **{"doc_id": document["doc_id"], "kept_id": twin.kept_id},
                **{"reason": verdict.reason, "measured": verdict.measured},
                "threshold": float(verdict.threshold),
            }
        )

    def write(self, out: Path, name: str) -> None:
        """Write the shard's rows, and begin another."""
        for table, model, rows in (
            ("overlaps", Overlap, self._overlaps),
            ("duplicates", Duplicate, self._duplicates),
            ("passages", RepeatedPassage, self._removed),
        ):
            if rows:
                write_shard(out / table / name, model, rows)
        self._overlaps, self._duplicates, self._removed = [], [], []

    def report(self, report: Reporter) -> None:
        """Show the problems that most documents hold a part of."""
        met = sorted(self._met.values(), key=lambda row: (-row["documents"], row["problem"]))
        if met:
            title = f"Held-out problems found in documents, {min(_ROWS, len(met))} of {len(met)}"
            report.table(title, met[:_ROWS])
