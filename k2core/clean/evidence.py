"""What stands behind verdicts: held-out problems met, documents repeated, passages cut out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from k2core.clean.contamination import HeldOutRuns
from k2core.clean.verdict import RuleVerdict, Twin
from k2core.reporting import Reporter
from k2core.tables import write_shard
from schemas.corpus import DocumentRow, Duplicate, Overlap, RepeatedPassage

_ROWS = 30
"""Problems in the report; `overlaps/` has them all."""


class Met(NamedTuple):
    """A held-out problem that documents hold a part of."""

    problem: str
    documents: int = 0
    covered_frac: float = 0.0
    path: str = ""
    """Of the document that holds most of it."""
    ngram: str = ""

    def row(self) -> dict[str, object]:
        """As the report shows it."""
        about = self._asdict()
        return {**about, "most of it in": about.pop("path"), "ngram": about.pop("ngram")}


class Evidence:
    """Rows of a shard until they are written, and what the report says of them."""

    def __init__(self, held_out: HeldOutRuns) -> None:
        self._held_out = held_out
        self._overlaps: list[dict[str, object]] = []
        self._duplicates: list[dict[str, object]] = []
        self._removed: list[dict[str, object]] = []
        self.met: dict[str, Met] = {}

    def add(self, document: DocumentRow, verdict: RuleVerdict, twin: Twin | None) -> None:
        """A document that was dropped."""
        if twin:
            self._add_twin(document, twin)
        elif verdict.rule == "decontamination":
            self._add_leak(document)

    def add_removed(self, passages: Sequence[dict[str, object]]) -> None:
        """Passages that were cut out of a kept document, as `RepeatedPassage` rows."""
        self._removed += passages

    def _add_leak(self, document: DocumentRow) -> None:
        about = {key: document[key] for key in ("doc_id", "source", "path")}
        for overlap in self._held_out.find_overlaps(document["text"]):
            self._overlaps.append({**about, **overlap._asdict()})
            met = self.met.get(overlap.problem_id, Met(overlap.problem_id))
            met = met._replace(documents=met.documents + 1)
            if overlap.covered_frac > met.covered_frac:
                most = round(overlap.covered_frac, 3)
                met = met._replace(covered_frac=most, path=document["path"], ngram=overlap.ngram)
            self.met[overlap.problem_id] = met

    def _add_twin(self, document: DocumentRow, twin: Twin) -> None:
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


def merge_met(met: dict[str, Met], more: Mapping[str, Met]) -> None:
    """Add what documents after the others hold."""
    for name, found in more.items():
        before = met.get(name, Met(name))
        most = found if found.covered_frac > before.covered_frac else before
        met[name] = most._replace(documents=before.documents + found.documents)


def report_met(met: Mapping[str, Met], report: Reporter) -> None:
    """Show the problems that most documents hold a part of."""
    ranked = sorted(met.values(), key=lambda each: (-each.documents, each.problem))
    if ranked:
        title = f"Held-out problems found in documents, {min(_ROWS, len(ranked))} of {len(ranked)}"
        report.table(title, [each.row() for each in ranked[:_ROWS]])
