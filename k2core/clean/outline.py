"""What is known of a judged shard's documents without their texts: for deciding on all shards."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from k2core.clean.rows import JudgedRow
from k2core.clean.sampling import sample_document
from schemas.selection import Sampling

JUDGED = "judged.parquet"
"""The judged rows, in the folder of what is said of a shard; the other files lie beside it."""
_OUTLINE = "outline.parquet"
KEPT = ""
"""Stands for the rule of a document that none dropped."""


def write_outline(folder: Path, rows: Iterable[JudgedRow], sampling: Sampling | None) -> None:
    """Write it beside the judged rows."""
    lines = [
        (
            row["doc_id"],
            len(row["text"].encode()),
            row["dropped"],
            row["rule"] if row["dropped"] else KEPT,
            sample_document(row, row["sampling_score"], sampling).verdict is not None,
        )
        for row in rows
    ]
    schema = {"doc_id": pl.String, "num_bytes": pl.Int64, "dropped": pl.Boolean}
    schema |= {"rule": pl.String, "sampled_out": pl.Boolean}
    frame = pl.DataFrame(lines, schema, orient="row")
    frame.write_parquet(folder / _OUTLINE)


def read_outline(folder: Path) -> pl.DataFrame:
    """`doc_id`, `num_bytes` of the text, whether it was `dropped` by a `rule` or `sampled_out`."""
    return pl.read_parquet(folder / _OUTLINE)
