"""Rows of the cleaning's tables as they are read: `Document`, and what was judged of one."""

from collections.abc import Iterator, Mapping
from typing import TypedDict, cast

import polars as pl


class DocumentRow(TypedDict):
    """A row of `schemas.corpus.Document`."""

    doc_id: str
    source: str
    path: str
    domain: str
    format: str
    license: str
    digest: str
    text: str


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


class DecisionRow(TypedDict):
    """A row of `schemas.corpus.Decision`."""

    doc_id: str
    source: str
    path: str
    domain: str
    decision: str
    rule: str
    reason: str
    rule_version: str
    measured: float
    threshold: float
    shard: str
    row: int
    measures: str
    redactions: str
    quality_score: float
    sampling_weight: float
