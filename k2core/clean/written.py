"""A shard of the clean corpus, with its decisions and evidence, written as it was decided."""

import hashlib
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from k2core.clean.contamination import HeldOutRuns
from k2core.clean.decisions import Fate, ShardPart
from k2core.clean.evidence import Evidence, Met
from k2core.clean.funnel import Funnel
from k2core.clean.passages import cut_text
from k2core.clean.pieces import JudgedDocument
from k2core.clean.rows import JudgedRow, document_of, judged_rows
from k2core.clean.sampling import sample_document
from k2core.clean.shards import CleanShard
from k2core.clean.verdict import RuleVerdict
from k2core.pieces import Made
from k2core.tables import read_shard
from schemas.clean import CleanConfig
from schemas.corpus import DocumentRow

_SUMMARY = "summary.pickle"
_NO_SAY = Fate(None)


class ShardSummary(NamedTuple):
    """What is told of a shard when it is written."""

    funnel: Funnel
    met: dict[str, Met]


def write_clean(
    config: CleanConfig, held_out: HeldOutRuns, files: Sequence[Path], name: str, folder: Path
) -> None:
    """Write `kept/NAME` and so on.

    Args:
        config: the stage's.
        held_out: to show what a document holds of it.
        files: the plan of the shard (`decisions.plan_shards`), then the judged rows it is of.
        name: the shard's file.
        folder: to write in.
    """
    parts: list[ShardPart] = pickle.loads(files[0].read_bytes())
    funnel, evidence = Funnel(config.num_reject_samples), Evidence(held_out)
    written = CleanShard(name)
    for path, part in zip(files[1:], parts, strict=True):
        frame = read_shard(path, JudgedDocument)[part.first : part.last]
        for place, row in enumerate(judged_rows(frame), part.first):
            fate = part.fates.get(place, _NO_SAY)
            _add(config, row, fate, funnel, evidence, written)
    evidence.write(folder, name)
    written.write(folder)
    (folder / _SUMMARY).write_bytes(pickle.dumps(ShardSummary(funnel, evidence.met)))


def read_summary(made: Made) -> ShardSummary:
    """What is told of a shard that was written."""
    summary: ShardSummary = pickle.loads(made.open(_SUMMARY).read_bytes())
    return summary


def name_tables(made: Made) -> dict[str, str]:
    """A shard's files that are the corpus'; they have their names there."""
    return {name: name for name in made.names() if name != _SUMMARY}


def _add(
    config: CleanConfig,
    row: JudgedRow,
    fate: Fate,
    funnel: Funnel,
    evidence: Evidence,
    written: CleanShard,
) -> None:
    document, verdict, weight = document_of(row), fate.verdict, 1.0
    if row["dropped"]:
        verdict = RuleVerdict(row["rule"], row["reason"], row["measured"], row["threshold"])
    elif not verdict:
        sampled = sample_document(row, row["sampling_score"], config.sampling)
        verdict, weight = sampled.verdict, sampled.weight
    if not verdict and fate.removed and config.deduplication.passages:
        text, rows = cut_text(document, fate.removed, config.deduplication.passages)
        document = _replace_text(document, text)
        evidence.add_removed(rows)
    funnel.add(document, verdict)
    if verdict:
        evidence.add(document, verdict, fate.twin)
    else:
        funnel.redactions.update(json.loads(row["redactions"]))
    written.add(document, row, verdict, weight)


def _replace_text(document: DocumentRow, text: str) -> DocumentRow:
    return {**document, "text": text, "digest": hashlib.sha256(text.encode()).hexdigest()}
