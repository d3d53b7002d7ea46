"""What is said of each raw shard apart from all others."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from k2core.clean.classifier import Scorer
from k2core.clean.contamination import HeldOutRuns
from k2core.clean.judge import Judged, judge
from k2core.clean.left import count_judged, tell_left
from k2core.clean.outline import JUDGED, write_outline
from k2core.clean.passages import sign_passages
from k2core.clean.rows import JudgedRow, document_rows
from k2core.clean.signatures import sign_shard
from k2core.pieces import Crew, Made, Piece
from k2core.store import StoredFile
from k2core.tables import read_shard, write_shard
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
    held_out: HeldOutRuns,
    scorer: Scorer | None,
    shards: Sequence[StoredFile],
    crew: Crew,
    folder: Path,
) -> list[Made]:
    """Judge and sign every shard; what is said of each, in order, all but the texts brought here.

    Args:
        config: the stage's.
        held_out: what no document may hold.
        scorer: the quality classifier, if there is one.
        shards: raw, in order.
        crew: who does it.
        folder: where it is kept.
    """
    work = functools.partial(judge_shard, config, held_out, scorer)
    fates = Counter[str]()

    def tell(made: Made) -> str:
        for name in made.names():
            if name != JUDGED:
                made.open(name)
        fates.update(count_judged(made.folder))
        return tell_left(fates)

    return list(crew.make(work, [Piece((shard,)) for shard in shards], folder, note=tell))


def judge_shard(
    config: CleanConfig,
    held_out: HeldOutRuns,
    scorer: Scorer | None,
    files: Sequence[Path],
    _told: None,
    folder: Path,
) -> None:
    """Write what is said of a shard: its judged rows, and what others must know of them."""
    (shard,), target = files, folder / JUDGED
    rows = document_rows(read_shard(shard, Document))
    judged = zip(rows, judge(rows, config, held_out, scorer), strict=True)
    merged = [_merge(row, found) for row, found in judged]
    write_shard(target, JudgedDocument, merged)
    sign_shard(target, folder, config)
    if passages := config.deduplication.passages:
        sign_passages(target, folder, passages)
    write_outline(folder, (cast(JudgedRow, row) for row in merged), config.sampling)


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
