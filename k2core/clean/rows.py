"""Rows that cleaning passes from its first walk to its second: documents with verdicts."""

from collections.abc import Iterator, Mapping
from typing import cast

import polars as pl

from schemas.corpus import DocumentRow


class JudgedRow(DocumentRow):
    """A document with its own verdict, before others are looked at."""

    dropped: bool
    rule: str
    reason: str
    measured: float
    threshold: float
    measures: str
    redactions: str
    quality_score: float
    sampling_score: float


def document_rows(frame: pl.DataFrame) -> list[DocumentRow]:
    """A shard's documents; the table's schema has been checked."""
    return cast(list[DocumentRow], frame.to_dicts())


def judged_rows(frame: pl.DataFrame) -> Iterator[JudgedRow]:
    """A shard's judged documents."""
    return cast(Iterator[JudgedRow], frame.iter_rows(named=True))


def document_of(row: JudgedRow) -> DocumentRow:
    """The document alone."""
    about: Mapping[str, object] = row
    return cast(DocumentRow, {name: about[name] for name in DocumentRow.__annotations__})
