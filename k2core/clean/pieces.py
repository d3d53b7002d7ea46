"""What is said of each raw shard apart from all others, here or spread over a Ray cluster."""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from k2core.clean.contamination import HeldOut
from k2core.clean.judge import Judged, judge
from k2core.clean.passages import sign_passages
from k2core.clean.signatures import is_signed, sign_shard
from k2core.store import Workspace
from k2core.tables import read_shard, write_shard
from schemas.clean import CleanConfig
from schemas.corpus import Document


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


def judge_shards(
    config: CleanConfig,
    held_out: HeldOut,
    shards: Sequence[Path],
    workspace: Workspace,
    num_workers: int,
) -> list[Path]:
    """Judge and sign what the scratch folder does not hold yet; the judged shards in order.

    Args:
        config: the stage's.
        held_out: what no document may hold.
        shards: of the raw corpus.
        workspace: whose scratch keeps each finished shard: `judged/NAME` and its files in `signed`.
        num_workers: 1 works in this process, more in as many of Ray's.
    """
    work = functools.partial(judge_shard, config, held_out)
    scratch = workspace.scratch
    missing = [shard for shard in shards if not _is_done(scratch, shard)]
    for done, _ in enumerate(_do_all(work, missing, scratch, num_workers), 1):
        finished = len(shards) - len(missing) + done
        workspace.report.progress(finished, len(shards), f"shard {finished}")
    return [scratch / "judged" / shard.name for shard in shards]


def judge_shard(config: CleanConfig, held_out: HeldOut, shard: Path, folder: Path) -> None:
    """Write `judged/NAME`, then the files in `signed` that say that it is whole."""
    target = folder / "judged" / shard.name
    rows = read_shard(shard, Document).to_dicts()
    judged = zip(rows, judge(rows, config, held_out), strict=True)
    write_shard(target, JudgedDocument, [_merge(row, found) for row, found in judged])
    if passages := config.deduplication.passages:
        sign_passages(target, folder / "passages", passages)
    sign_shard(target, folder / "signed", config)


def _do_all(
    work: functools.partial[None], shards: Sequence[Path], scratch: Path, num_workers: int
) -> Iterator[None]:
    if num_workers == 1 or len(shards) < 2:
        for shard in shards:
            yield work(shard, scratch)
        return
    from k2core.engines.ray.spread import spread_files

    for files in spread_files(work, shards, num_workers):
        for name, content in files.items():
            _keep(scratch / name, content)
        yield


def _is_done(scratch: Path, shard: Path) -> bool:
    return (scratch / "judged" / shard.name).exists() and is_signed(scratch / "signed", shard.stem)


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    aside.write_bytes(content)
    aside.rename(path)


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
