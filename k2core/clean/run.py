"""The two passes of the cleaning: each document alone, then duplicates in the corpus' order.

The first pass is kept in the scratch folder shard by shard, so that a killed run goes on.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandera.polars as pa

from k2core.clean.contamination import HeldOut, Question
from k2core.clean.duplicates import find_duplicates
from k2core.clean.evidence import Evidence
from k2core.clean.funnel import Funnel
from k2core.clean.judge import Judged, judge
from k2core.clean.passages import PassageCutter, sign_passages
from k2core.clean.signatures import sign_shard
from k2core.clean.verdict import VERSIONS, Twin, Verdict
from k2core.store import Draft, Workspace
from k2core.tables import list_shards, read_shard, write_shard
from schemas.artifacts import RawCorpus
from schemas.clean import CleanConfig
from schemas.corpus import Decision, Document, Reject


class JudgedDocument(Document):
    """A row between the passes."""

    dropped: bool
    rule: str
    """That dropped it, or that it came nearest to."""
    reason: str
    measured: float
    threshold: float
    measures: str
    """Everything measured, a JSON object."""
    redactions: str
    """Replacements by kind, a JSON object."""


def clean_documents(
    config: CleanConfig, questions: Sequence[Question], raw: RawCorpus, workspace: Workspace
) -> Draft:
    """Write what a `CleanCorpus` holds.

    Raises:
        TableError: a shard is corrupt; the message names it.
        ValueError: no document is left.
    """
    folder = workspace.open(raw)
    held_out = HeldOut(questions, config.decontamination)
    judged = list(_judge_shards(config, held_out, list_shards(folder / "documents"), workspace))
    cutter = _open_cutter(config, judged, workspace.scratch)
    duplicates = find_duplicates(config.deduplication, judged, workspace.scratch)
    funnel, evidence = Funnel(config.num_reject_samples), Evidence(held_out)
    for number, (path, twins) in enumerate(zip(judged, duplicates, strict=True)):
        kept: list[dict[str, Any]] = []
        rejects: list[dict[str, Any]] = []
        decisions = []
        if cutter:
            cutter.open(number)
        for place, row in enumerate(read_shard(path, JudgedDocument).iter_rows(named=True)):
            document, verdict = _decide(row, twins.get(place))
            if cutter and not verdict:
                cut = cutter.cut(place, document)
                document, verdict = _replace_text(document, cut.text), cut.verdict
                evidence.add_removed(cut.removed)
            funnel.add(document, verdict)
            table, size = ("rejects", len(rejects)) if verdict else ("kept", len(kept))
            where = {"shard": f"{table}/{number:05d}.parquet", "row": size}
            decisions.append(_record(row, verdict) | where)
            if verdict:
                rejects.append({**document, **verdict._asdict()})
                evidence.add(document, verdict, twins.get(place))
            else:
                kept.append(document)
                funnel.redactions.update(json.loads(row["redactions"]))
        _write(workspace.out / "kept" / f"{number:05d}.parquet", Document, kept)
        _write(workspace.out / "rejects" / f"{number:05d}.parquet", Reject, rejects)
        _write(workspace.out / "decisions" / f"{number:05d}.parquet", Decision, decisions)
        evidence.write(workspace.out, f"{number:05d}.parquet")
    evidence.report(workspace.report)
    return _finish(funnel, (folder / "sources.json").read_text(), workspace)


def _judge_shards(
    config: CleanConfig, held_out: HeldOut, shards: Sequence[Path], workspace: Workspace
) -> Iterator[Path]:
    for number, shard in enumerate(shards):
        target = workspace.scratch / "judged" / f"{number:05d}.parquet"
        if not target.exists():
            rows = read_shard(shard, Document).to_dicts()
            judged = zip(rows, judge(rows, config, held_out), strict=True)
            write_shard(target, JudgedDocument, [_merge(row, found) for row, found in judged])
        sign_shard(target, workspace.scratch / "signed", config)
        if passages := config.deduplication.passages:
            sign_passages(target, workspace.scratch / "passages", passages)
        workspace.report.progress(number + 1, len(shards), f"shard {number + 1}")
        yield target


def _open_cutter(
    config: CleanConfig, judged: Sequence[Path], scratch: Path
) -> PassageCutter | None:
    passages, stems = config.deduplication.passages, [path.stem for path in judged]
    if passages is None:
        return None
    return PassageCutter(passages, config.min_characters, scratch / "passages", stems)


def _replace_text(document: dict[str, Any], text: str) -> dict[str, Any]:
    return {**document, "text": text, "digest": hashlib.sha256(text.encode()).hexdigest()}


def _merge(row: dict[str, Any], found: Judged) -> dict[str, Any]:
    digest = hashlib.sha256(found.text.encode()).hexdigest()
    return {
        **row,
        **{"text": found.text, "format": "text", "digest": digest, "dropped": found.dropped},
        **found.verdict._asdict(),
        "measured": float(found.verdict.measured),
        "threshold": float(found.verdict.threshold),
        "measures": found.measures,
        "redactions": json.dumps(found.redactions),
    }


def _decide(row: dict[str, Any], twin: Twin | None) -> tuple[dict[str, Any], Verdict | None]:
    document = {key: row[key] for key in Document.to_schema().columns}
    if row["dropped"]:
        return document, Verdict(*(row[field] for field in Verdict._fields))
    return document, twin.verdict if twin else None


def _record(row: dict[str, Any], verdict: Verdict | None) -> dict[str, Any]:
    keys = ("doc_id", "source", "path", "domain", "measures", "redactions", *Verdict._fields)
    record = {key: row[key] for key in keys} | (verdict._asdict() if verdict else {})
    return {
        **record,
        "decision": "dropped" if verdict else "kept",
        "rule_version": VERSIONS.get(record["rule"], ""),
        **{"quality_score": 0.0, "sampling_weight": 0.0 if verdict else 1.0},
    }


def _write(path: Path, model: type[pa.DataFrameModel], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        write_shard(path, model, rows)


def _finish(funnel: Funnel, sources: str, workspace: Workspace) -> Draft:
    if not funnel.kept:
        reasons = ", ".join(f"{reason}: {n}" for (_, _, reason), n in funnel.rejects.most_common(3))
        raise ValueError(f"no document is left ({reasons}): relax the rules of CleanConfig")
    summary = json.dumps(funnel.summary(), indent=1) + "\n"
    (workspace.out / "funnel.json").write_text(summary)
    (workspace.out / "sources.json").write_text(sources)
    workspace.report.plot("Documents left after each rule", funnel.draw())
    workspace.report.table("Rejects, a sample of each reason", funnel.reject_samples())
    counts = {
        "documents": float(funnel.kept.total()),
        "rejects": float(funnel.rejects.total()),
        "words": float(funnel.words),
    }
    return Draft(workspace.out, counts)
