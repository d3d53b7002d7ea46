"""The clean corpus' own shards, cut alike however the raw corpus was."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandera.polars as pa

from k2core.clean.rows import JudgedRow
from k2core.clean.verdict import VERSIONS, Verdict
from k2core.tables import write_shard
from schemas.corpus import Decision, Document, DocumentRow, Reject


class CleanShards:
    """Rows of `kept`, `rejects` and `decisions` until a shard of them is full.

    Args:
        out: where the tables are written.
        shard_documents: raw documents of a shard.
        shard_bytes: bytes of text from which a shard is full.
    """

    def __init__(self, out: Path, shard_documents: int, shard_bytes: int) -> None:
        self._out, self._size, self._most_bytes = out, shard_documents, shard_bytes
        self._number = 0
        self._begin()

    @property
    def name(self) -> str:
        """The file of the shard that is being filled."""
        return f"{self._number:05d}.parquet"

    def add(
        self,
        document: DocumentRow,
        row: JudgedRow,
        verdict: Verdict | None,
        weight: float = 1.0,
    ) -> bool:
        """The next document, in the corpus' order; whether the shard is full with it.

        Args:
            document: as it is kept or rejected.
            row: the same, with what was found of it.
            verdict: what dropped it.
            weight: how often the mixture wants it, if it is kept.
        """
        table, rows = ("rejects", self._rejects) if verdict else ("kept", self._kept)
        where = {"shard": f"{table}/{self.name}", "row": len(rows)}
        self._decisions.append(_record(row, verdict, weight) | where)
        rows.append({**document, **(verdict._asdict() if verdict else {})})
        self._bytes += len(document["text"].encode())
        return len(self._decisions) == self._size or self._bytes >= self._most_bytes

    def write(self) -> None:
        """Write the shard, full or not, and begin the next."""
        for name, model, rows in (
            ("kept", Document, self._kept),
            ("rejects", Reject, self._rejects),
            ("decisions", Decision, self._decisions),
        ):
            _write(self._out / name / self.name, model, rows)
        self._number += bool(self._decisions)
        self._begin()

    def _begin(self) -> None:
        self._bytes = 0
        self._kept: list[dict[str, object]] = []
        self._rejects: list[dict[str, object]] = []
        self._decisions: list[dict[str, object]] = []


def _record(row: JudgedRow, verdict: Verdict | None, weight: float) -> dict[str, object]:
    keys = ("doc_id", "source", "path", "domain", "measures", "redactions", *Verdict._fields)
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
