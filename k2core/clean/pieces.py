"""What is said of each raw shard apart from all others, here or spread over a Ray cluster."""

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from k2core.clean.classifier import Scorer
from k2core.clean.contamination import HeldOut
from k2core.clean.judge import Judged, judge
from k2core.clean.passages import sign_passages
from k2core.clean.rows import document_rows
from k2core.clean.signatures import sign_shard
from k2core.store import Workspace
from k2core.tables import list_shards, read_shard, write_shard
from schemas.artifacts import RawCorpus
from schemas.clean import CleanConfig
from schemas.corpus import Document, DocumentRow


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
    quality_score: float
    """The classifier's; 0 where it does not score."""
    sampling_score: float
    """What sampling goes by; -1 without one."""


def judge_shards(
    config: CleanConfig,
    held_out: HeldOut,
    scorer: Scorer | None,
    raw: RawCorpus,
    workspace: Workspace,
    num_workers: int,
) -> list[Path]:
    """Judge and sign what the scratch folder does not hold yet; the judged shards in order.

    Args:
        config: the stage's.
        held_out: what no document may hold.
        scorer: the quality classifier, if there is one.
        raw: whose shards they are.
        workspace: whose scratch keeps `judged/NAME` and what is made from it.
        num_workers: shards at a time that Ray Data judges; 0 works in this process.
    """
    work = functools.partial(judge_shard, config, held_out, scorer)
    scratch = workspace.scratch
    shards = list_shards(workspace.open(raw) / "documents")
    if num_workers:
        _spread(work, raw, shards, workspace, num_workers)
    for number, shard in enumerate(shards, 1):  # what is there already is left as it is
        work(shard, scratch)
        workspace.report.progress(number, len(shards), f"shard {number}")
    return [scratch / "judged" / shard.name for shard in shards]


def judge_shard(
    config: CleanConfig, held_out: HeldOut, scorer: Scorer | None, shard: Path, folder: Path
) -> None:
    """Write what is said of a shard below a folder, but for the files that are there."""
    target = folder / "judged" / shard.name
    if not target.exists():
        rows = document_rows(read_shard(shard, Document))
        judged = zip(rows, judge(rows, config, held_out, scorer), strict=True)
        write_shard(target, JudgedDocument, [_merge(row, found) for row, found in judged])
    sign_shard(target, folder / "signed", config)
    if passages := config.deduplication.passages:
        sign_passages(target, folder / "passages", passages)


def _spread(
    work: functools.partial[None],
    raw: RawCorpus,
    shards: Sequence[Path],
    workspace: Workspace,
    num_workers: int,
) -> None:
    from k2core.engines.ray.spread import spread_files

    scratch, files = workspace.scratch, {f.path: f for f in workspace.store.list_files(raw)}
    missing = [files[path] for path in shards if not (scratch / "judged" / path.name).exists()]
    if not missing:
        return
    for number, made in enumerate(spread_files(work, missing, scratch / "spread", num_workers), 1):
        found = sorted(path for path in made.rglob("*") if path.is_file())
        # The judged shard comes last: where it is, the files made from it are whole.
        for path in sorted(found, key=lambda path: path.parent.name == "judged"):
            target = scratch / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        workspace.report.progress(number, len(missing), f"shard {number}, by {num_workers} workers")


def _merge(row: DocumentRow, found: Judged) -> dict[str, object]:
    digest = hashlib.sha256(found.text.encode()).hexdigest()
    return {
        **row,
        **{"text": found.text, "format": "text", "digest": digest, "dropped": found.dropped},
        **found.verdict._asdict(),
        "measured": float(found.verdict.measured),
        "threshold": float(found.verdict.threshold),
        "measures": found.measures,
        "redactions": json.dumps(found.redactions),
        "quality_score": found.quality_score,
        "sampling_score": found.sampling_score,
    }
