"""A shard of the clean corpus' tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandera.polars as pa

from k2core.clean.rows import JudgedRow
from k2core.clean.verdict import VERSIONS, RuleVerdict
from k2core.tables import write_shard
from schemas.corpus import Decision, Document, DocumentRow, Reject


class CleanShard:
    """Rows of `kept`, `rejects` and `decisions`, in the corpus' order.

    Args:
        name: its file in each table.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept: list[dict[str, object]] = []
        self._rejects: list[dict[str, object]] = []
        self._decisions: list[dict[str, object]] = []

    def add(
        self, document: DocumentRow, row: JudgedRow, verdict: RuleVerdict | None, weight: float
    ) -> None:
        """The next document.

        Args:
            document: as it is kept or rejected.
            row: the same, with what was found of it.
            verdict: what dropped it.
            weight: how often the mixture wants it, if it is kept.
        """
        table, rows = ("rejects", self._rejects) if verdict else ("kept", self._kept)
        where = {"shard": f"{table}/{self._name}", "row": len(rows)}
        self._decisions.append(_record(row, verdict, weight) | where)
        rows.append({**document, **(verdict._asdict() if verdict else {})})

    def write(self, folder: Path) -> None:
        """Write the tables below a folder."""
        for table, model, rows in (
            ("kept", Document, self._kept),
            ("rejects", Reject, self._rejects),
            ("decisions", Decision, self._decisions),
        ):
            _write(folder / table / self._name, model, rows)


def _record(row: JudgedRow, verdict: RuleVerdict | None, weight: float) -> dict[str, object]:
    keys = ("doc_id", "source", "path", "domain", "measures", "redactions", *RuleVerdict._fields)
    about: Mapping[str, object] = row
    record = {key: about[key] for key in keys} | (verdict._asdict() if verdict else {})
    return {
        **record,
        "decision": "dropped" if verdict else "kept",
        "rule_version": VERSIONS.get(verdict.rule if verdict else row["rule"], ""),
        "quality_score": row["quality_score"],
        "sampling_weight": 0.0 if verdict else weight,
    }


def _write(path: Path, model: type[pa.DataFrameModel], rows: Sequence[dict[str, object]]) -> None:
    if rows:
        write_shard(path, model, rows)
