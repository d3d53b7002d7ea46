"""The two passes of the cleaning: each document alone, then duplicates in the corpus' order.

The first pass is kept in the scratch folder shard by shard, so that a killed run goes on.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from k2core.clean.contamination import HeldOut, Question
from k2core.clean.duplicates import find_duplicates
from k2core.clean.evidence import Evidence
from k2core.clean.funnel import Funnel
from k2core.clean.passages import PassageCutter
from k2core.clean.pieces import JudgedDocument, judge_shards
from k2core.clean.rows import JudgedRow, document_of, judged_rows
from k2core.clean.sampling import sample_document
from k2core.clean.shards import CleanShards
from k2core.clean.training import fit_scorer
from k2core.clean.verdict import Twin, Verdict
from k2core.store import Draft, Workspace
from k2core.tables import list_shards, read_shard
from schemas.artifacts import RawCorpus
from schemas.clean import CleanConfig
from schemas.corpus import DocumentRow
from schemas.errors import InputsError


def clean_documents(
    config: CleanConfig,
    questions: Sequence[Question],
    raw: RawCorpus,
    workspace: Workspace,
    num_workers: int = 0,
) -> Draft:
    """Write what a `CleanCorpus` holds: the same bytes for any sharding and number of workers.

    Args:
        config: the stage's.
        questions: what the models are evaluated on.
        raw: documents in any number of shards.
        workspace: whose scratch keeps what was said of each shard.
        num_workers: shards at a time that Ray Data judges; 0 judges them in this process.

    Raises:
        TableError: a shard is corrupt; the message names it.
        InputsError: no document is left.
    """
    folder = workspace.open(raw)
    held_out = HeldOut(questions, config.decontamination)
    shards = list_shards(folder / "documents")
    scorer = fit_scorer(config, held_out, shards, workspace)
    judged = judge_shards(config, held_out, scorer, raw, workspace, num_workers)
    cutter = _open_cutter(config, judged, workspace.scratch)
    duplicates = find_duplicates(config.deduplication, judged, workspace.scratch)
    funnel, evidence = Funnel(config.num_reject_samples), Evidence(held_out)
    written = CleanShards(workspace.out, config.shard_documents, config.shard_bytes)
    for number, (path, twins) in enumerate(zip(judged, duplicates, strict=True)):
        if cutter:
            cutter.open(number)
        for place, row in enumerate(judged_rows(read_shard(path, JudgedDocument))):
            document, verdict = _decide(row, twins.get(place))
            sampled = sample_document(row, row["sampling_score"], config.sampling)
            verdict = verdict or sampled.verdict
            if cutter and not verdict:
                cut = cutter.cut(place, document)
                document, verdict = _replace_text(document, cut.text), cut.verdict
                evidence.add_removed(cut.removed)
            funnel.add(document, verdict)
            if verdict:
                evidence.add(document, verdict, twins.get(place))
            else:
                funnel.redactions.update(json.loads(row["redactions"]))
            if written.add(document, row, verdict, sampled.weight):
                evidence.write(workspace.out, written.name)
                written.write()
    evidence.write(workspace.out, written.name)
    written.write()
    evidence.report(workspace.report)
    return _finish(funnel, (folder / "sources.json").read_text(), workspace)


def _open_cutter(
    config: CleanConfig, judged: Sequence[Path], scratch: Path
) -> PassageCutter | None:
    passages, stems = config.deduplication.passages, [path.stem for path in judged]
    if passages is None:
        return None
    return PassageCutter(passages, config.min_characters, scratch / "passages", stems)


def _replace_text(document: DocumentRow, text: str) -> DocumentRow:
    return {**document, "text": text, "digest": hashlib.sha256(text.encode()).hexdigest()}


def _decide(row: JudgedRow, twin: Twin | None) -> tuple[DocumentRow, Verdict | None]:
    document = document_of(row)
    if row["dropped"]:
        return document, Verdict(row["rule"], row["reason"], row["measured"], row["threshold"])
    return document, twin.verdict if twin else None


def _finish(funnel: Funnel, sources: str, workspace: Workspace) -> Draft:
    if not funnel.kept:
        reasons = ", ".join(f"{reason}: {n}" for (_, _, reason), n in funnel.rejects.most_common(3))
        raise InputsError(f"no document is left ({reasons}): relax the rules of CleanConfig")
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
