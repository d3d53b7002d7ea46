"""Rewrites through the gate, and the artifact's files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from k2core.rephrase.editor import EditedWords
from k2core.rephrase.fidelity import find_fault, score_rewrite
from k2core.rephrase.restate import fitting_forms
from k2core.rephrase.rewrite import Rewriting
from k2core.rephrase.styles import RewriteJob
from schemas.corpus import Rewrite, RewriteReject, RewriteRow, WriterName
from schemas.rephrase import RephraseConfig

_SHARD_ROWS = 4000


class JudgedRewrite(NamedTuple):
    """A row of `Rewrite`, the source it was made from, and why it was refused, if it was."""

    row: RewriteRow
    source: str
    reason: str


def judge_writers(
    config: RephraseConfig, job: RewriteJob, rewriting: Rewriting
) -> list[JudgedRewrite]:
    """The model's rewrite, and if it is refused the rules', each form until one passes."""
    judged = [judge_rewrite(config, job, rewriting)]
    if "rules" not in config.writers:
        return judged
    for form in fitting_forms(job.document.domain):
        if not judged[-1].reason:
            break
        text = form.write(job.document.text)
        restated = Rewriting(text, num_chunks=1, num_tokens=0, cut=False)
        judged.append(judge_rewrite(config, job._replace(style=form.style), restated, "rules"))
    return judged


def judge_rewrite(
    config: RephraseConfig, job: RewriteJob, rewriting: Rewriting, writer: WriterName = "model"
) -> JudgedRewrite:
    """Hold a rewrite against its source."""
    document = job.document
    scores = score_rewrite(document.text, rewriting.text, rewriting.cut) | _share_wording(rewriting)
    identity = f"rewrite\0{document.doc_id}\0{job.style.prompt_id}"
    row: RewriteRow = {
        "doc_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "source": document.source,
        "path": f"{document.path}#{job.style.prompt_id}",
        "domain": document.domain,
        "format": "text",
        "license": document.license,
        "digest": hashlib.sha256(rewriting.text.encode()).hexdigest(),
        "text": rewriting.text,
        "parent_id": document.doc_id,
        "writer": writer,
        "prompt_id": job.style.prompt_id,
        "prompt_digest": job.style.digest,
        "scores": json.dumps({n: round(s, 4) for n, s in scores.items()}, sort_keys=True),
    }
    return JudgedRewrite(row, document.text, find_fault(scores, config.fidelity))


def _share_wording(rewriting: Rewriting) -> dict[str, float]:
    """Who worded how much: the model, or nobody anew."""
    words = {name: getattr(rewriting, name) for name in EditedWords._fields}
    return {name: count / max(1, sum(words.values())) for name, count in words.items()}


def write_artifact(
    out: Path, config: RephraseConfig, judged: Sequence[JudgedRewrite], writer: str, clean: Path
) -> None:
    """Write `kept/`, `rejects/` and `sources.json`."""
    kept = [entry.row for entry in judged if not entry.reason]
    rejects = [{**entry.row, "reason": entry.reason} for entry in judged if entry.reason]
    _write_shards(out / "kept", kept, Rewrite)
    _write_shards(out / "rejects", rejects, RewriteReject)
    known = json.loads((clean / "sources.json").read_text())
    used = {row["source"] for row in kept}
    sources = {name: about for name, about in known.items() if name in used}
    sources[config.rewriter] = {
        "domain": "rewriter",
        "license": config.model_license,
        "package": config.rewriter.removeprefix("package:"),
        "version": writer,
        "documents": sum(row["writer"] == "model" for row in kept),
        "digest": writer.removeprefix("sha256:"),
    }
    (out / "sources.json").write_text(json.dumps(sources, indent=1, sort_keys=True) + "\n")


def _write_shards(
    folder: Path, rows: Sequence[Mapping[str, object]], kind: type[Rewrite] | type[RewriteReject]
) -> None:
    folder.mkdir()
    columns = dict.fromkeys(kind.to_schema().columns, pl.String)
    for number in range(max(1, -(-len(rows) // _SHARD_ROWS))):
        part = rows[number * _SHARD_ROWS : (number + 1) * _SHARD_ROWS]
        frame = kind.validate(pl.DataFrame(part, schema=columns))
        frame.write_parquet(folder / f"{number:05d}.parquet")
