"""What came of somebody's text: read, lost, dropped by which rule, kept; documents and tokens."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from k2core.clean.verdict import VERSIONS
from k2core.tokens import read_manifest
from schemas.artifacts import TokenCorpus
from schemas.ingest import IngestConfig
from workflows.errors import inputs_as_asked
from workflows.provenance import Corpora, list_corpora

_BYTES_PER_TOKEN = 4.0
"""Until a tokenizer has counted."""
_EXAMPLES = 2
_SHOWN_CHARACTERS = 300
_RULES = list(VERSIONS)


@dataclass(frozen=True)
class ReportedDocument:
    """A document, as a report shows it."""

    doc_id: str
    path: str
    text: str
    measured: float
    threshold: float


@dataclass(frozen=True)
class Dropped:
    """What one reason of a rule dropped of a domain."""

    domain: str
    rule: str
    reason: str
    documents: int
    tokens: int
    examples: list[ReportedDocument]


@dataclass(frozen=True)
class SourceRow:
    """What a source gave."""

    name: str
    domain: str
    license: str
    place: str
    documents: int
    kept: int


@dataclass(frozen=True)
class Unread:
    """What no document came of."""

    what: str
    """`lost`, `left out` or `repaired`."""
    reason: str
    count: int
    file: str
    """The first case's."""
    place: str
    detail: str


@dataclass(frozen=True)
class CorpusReport:
    """All of it."""

    run: str
    sources: list[SourceRow]
    unread: list[Unread]
    documents: int
    kept: int
    tokens: int
    kept_tokens: int
    counted: bool
    """Whether the corpus' own tokenizer counted; else a token is taken to be four bytes."""
    dropped: list[Dropped]
    kept_examples: list[ReportedDocument]
    redacted: dict[str, int]
    artifacts: dict[str, str]
    """Kind -> digest."""

    def as_json(self) -> str:
        """For programs."""
        return TypeAdapter(CorpusReport).dump_json(self, indent=1).decode()


class _Funnel(TypedDict):
    redactions: dict[str, int]


def read_corpus(run: str) -> CorpusReport:
    """What a run's corpora say.

    Raises:
        NotRecordedError: no such run has cleaned a corpus.
    """
    corpora = list_corpora(run)[0]
    raw, clean = corpora.folder("raw_corpus"), corpora.folder("clean_corpus")
    sizes = _read_sizes(clean)
    kept_bytes = int(sizes.filter(pl.col("rule") == "")["bytes"].sum())
    ratio, counted = _bytes_per_token(corpora, kept_bytes)
    funnel: _Funnel = json.loads((clean / "funnel.json").read_text())
    return CorpusReport(
        run=corpora.run,
        sources=_read_sources(corpora, raw, clean),
        unread=_read_unread(raw),
        documents=int(sizes["documents"].sum()),
        kept=int(sizes.filter(pl.col("rule") == "")["documents"].sum()),
        tokens=round(int(sizes["bytes"].sum()) / ratio),
        kept_tokens=round(kept_bytes / ratio),
        counted=counted,
        dropped=_read_dropped(clean, sizes, ratio),
        kept_examples=_examples(pl.scan_parquet(clean / "kept" / "*.parquet"), 3),
        redacted=funnel["redactions"],
        artifacts={kind: artifact.digest for kind, artifact in corpora.artifacts.items()},
    )


def _read_sizes(clean: Path) -> pl.DataFrame:
    """Documents and bytes by domain, rule and reason; of what is kept the rule is empty."""
    keys, size = ["domain", "rule", "reason"], pl.col("text").str.len_bytes().sum()
    counts = (pl.len().alias("documents"), size.alias("bytes"))
    kept = pl.scan_parquet(clean / "kept" / "*.parquet")
    kept = kept.with_columns(pl.lit("").alias("rule"), pl.lit("").alias("reason"))
    frames = [kept.group_by(keys).agg(counts).collect()]
    if _has_rejects(clean):
        rejects = pl.scan_parquet(clean / "rejects" / "*.parquet")
        frames.append(rejects.group_by(keys).agg(counts).collect())
    return pl.concat(frames)


def _bytes_per_token(corpora: Corpora, kept_bytes: int) -> tuple[float, bool]:
    if not corpora.has("token_corpus"):
        return _BYTES_PER_TOKEN, False
    folder = corpora.folder(TokenCorpus.model_fields["kind"].default)
    with inputs_as_asked():
        manifest = read_manifest(folder)
    read = [domain.train_tokens + domain.heldout_tokens for domain in manifest.domains.values()]
    return kept_bytes / max(1, sum(read)), True


def _read_dropped(clean: Path, sizes: pl.DataFrame, ratio: float) -> list[Dropped]:
    found = []
    for domain, rule, reason, documents, size in sizes.filter(pl.col("rule") != "").iter_rows():
        rejects = pl.scan_parquet(clean / "rejects" / "*.parquet")
        examples = _examples(rejects.filter(domain=domain, rule=rule, reason=reason), _EXAMPLES)
        tokens = round(size / ratio)
        found.append(Dropped(domain, rule, reason, documents, tokens, examples))
    return sorted(found, key=lambda row: (_RULES.index(row.rule), -row.documents, row.domain))


def _examples(documents: pl.LazyFrame, count: int) -> list[ReportedDocument]:
    """Some, drawn by their ids, which are hashes."""
    zero = pl.lit(0.0)
    measured = "measured" in documents.collect_schema()
    columns = [
        "doc_id",
        "path",
        pl.col("text").str.slice(0, _SHOWN_CHARACTERS),
        (pl.col("measured") if measured else zero.alias("measured")),
        (pl.col("threshold") if measured else zero.alias("threshold")),
    ]
    rows = documents.select(columns).bottom_k(count, by="doc_id").collect().sort("doc_id").rows()
    return [ReportedDocument(*row) for row in rows]


def _read_sources(corpora: Corpora, raw: Path, clean: Path) -> list[SourceRow]:
    made = corpora.maker_of("raw_corpus")
    config = corpora.read_config(made, "config", IngestConfig)
    places = {files.name: files.folder for files in config.files}
    about: dict[str, dict[str, str]] = json.loads((raw / "sources.json").read_text())
    decisions = pl.scan_parquet(clean / "decisions" / "*.parquet")
    kept = (pl.col("decision") == "kept").sum()
    counts = dict[str, tuple[int, int]]()
    for source, documents, num_kept in (
        decisions.group_by("source").agg(pl.len(), kept.alias("kept")).collect().iter_rows()
    ):
        counts[source] = (documents, num_kept)
    return [
        SourceRow(name, of["domain"], of["license"], places.get(name, of["package"]), *counts[name])
        for name, of in about.items()
        if name in counts
    ]


class _Case(TypedDict):
    file: str
    place: str
    detail: str


class _Faults(TypedDict):
    lost: dict[str, int]
    left_out: dict[str, int]
    repaired: dict[str, int]
    examples: dict[str, list[_Case]]


def _read_unread(raw: Path) -> list[Unread]:
    path = raw / "faults.json"
    if not path.exists():
        return []
    faults: _Faults = json.loads(path.read_text())
    groups: Sequence[tuple[str, dict[str, int]]] = (
        ("lost", faults["lost"]),
        ("left out", faults["left_out"]),
        ("repaired", faults["repaired"]),
    )
    return [
        Unread(what, reason, count, *_first(faults["examples"][reason]))
        for what, counts in groups
        for reason, count in sorted(counts.items(), key=lambda item: -item[1])
    ]


def _first(cases: Sequence[_Case]) -> tuple[str, str, str]:
    case = cases[0]
    return case["file"], case["place"], case["detail"]


def _has_rejects(clean: Path) -> bool:
    return any((clean / "rejects").glob("*.parquet"))
