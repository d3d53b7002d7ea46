"""What runs recorded of texts: the corpora of each, and a document's rows in them."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import polars as pl
from pydantic import BaseModel, ValidationError

from infra.index import Indexed, RunIndex
from schemas.base import Artifact
from schemas.corpus import DecisionRow, DocumentRow, RewriteRow
from schemas.lineage import LineageRecord
from tasks.store import open_store, published_folder
from workflows.errors import NotRecordedError
from workflows.find import LATEST

C = TypeVar("C", bound=BaseModel)
_SHOWN = 5
_NEAR = 0.7
_COLUMNS = ["doc_id", "path"]


class KeptOrNot(RewriteRow):
    """A rewrite with why it was refused; empty for a kept one."""

    reason: str


class Corpora(NamedTuple):
    """What one run made of texts, and what it was given."""

    run: str
    artifacts: dict[str, Artifact]
    """By kind; a clean corpus is always among them."""
    stages: dict[str, Indexed]
    """What the run itself recorded, by stage."""

    def has(self, kind: str) -> bool:
        """Whether the run has such an artifact, and this store holds it."""
        return kind in self.artifacts and open_store().has(self.artifacts[kind])

    def folder(self, kind: str) -> Path:
        """Where an artifact lies, verified.

        Raises:
            NotRecordedError: the run has none.
        """
        if kind not in self.artifacts:
            raise NotRecordedError(f"run {self.run} has no {kind}: name another with --from")
        return published_folder(self.artifacts[kind])

    def maker_of(self, kind: str) -> LineageRecord:
        """The record of the stage that made an artifact, in whichever run."""
        with RunIndex() as index:
            made = index.maker(self.artifacts[kind].digest)
        if made is None:
            raise NotRecordedError(f"nobody recorded who made the {kind} of run {self.run}")
        return made.record

    def config_of(self, kind: str, model: type[C]) -> C:
        """The config that an artifact was made with; an error as of `read_config`."""
        return self.read_config(self.maker_of(kind), "config", model)

    def read_config(self, record: LineageRecord, name: str, model: type[C]) -> C:
        """A config that a stage was given.

        Raises:
            NotRecordedError: this code knows no such config.
        """
        try:
            return model.model_validate(record.configs[name])
        except ValidationError as error:
            raise NotRecordedError(
                f"{record.stage} of run {self.run} was configured by other code "
                f"({error.error_count()} fields differ): check that code out (`k2 runs` names it) "
                "and ask again"
            ) from error


class FoundDocument(NamedTuple):
    """A document, and the run that has it."""

    corpora: Corpora
    doc_id: str


def list_corpora(source: str = LATEST) -> list[Corpora]:
    """The corpora of each run, or of the runs whose names begin so, the newest first.

    Raises:
        NotRecordedError: no run has cleaned a corpus, or none is named so.
    """
    runs: dict[str, list[Indexed]] = {}
    with RunIndex() as index:
        stages = index.stages()
    for stage in sorted(stages, key=lambda stage: -stage.run.started):
        runs.setdefault(stage.run.tags["flyte_run"], []).append(stage)
    found = [c for run, made in runs.items() if (c := _gather(run, made)) is not None]
    if not found:
        raise NotRecordedError("no corpus is recorded yet: `k2 run` makes one")
    named = [c for c in found if source == LATEST or c.run.startswith(source)]
    if not named:
        known = ", ".join(c.run for c in found[:_SHOWN])
        raise NotRecordedError(f"no run {source!r} with a clean corpus; the newest are: {known}")
    return named


def find_document(wanted: str, candidates: Sequence[Corpora]) -> FoundDocument:
    """The document or rewrite whose id begins so, in the first of the runs that has one.

    Raises:
        NotRecordedError: there is none, or several; the message names the nearest.
    """
    seen = set()
    for corpora in candidates:
        texts = [corpora.artifacts.get(kind) for kind in ("clean_corpus", "rephrased_corpus")]
        digests = tuple(artifact and artifact.digest for artifact in texts)
        if digests in seen or not corpora.has("clean_corpus"):
            continue
        seen.add(digests)
        hits = _starting_with(wanted, corpora)
        if len(hits) == 1:
            return FoundDocument(corpora, hits[0][0])
        if hits:
            shown = ", ".join(f"{doc_id} ({path})" for doc_id, path in hits[:_SHOWN])
            raise NotRecordedError(
                f"{len(hits)} documents of run {corpora.run} begin with {wanted!r}: {shown}"
            )
    raise NotRecordedError(_unknown(wanted, candidates))


def read_decision(clean: Path, doc_id: str) -> DecisionRow | None:
    """The row of `decisions/*.parquet` about a document."""
    frame = pl.scan_parquet(clean / "decisions" / "*.parquet").filter(doc_id=doc_id).collect()
    return cast(DecisionRow, frame.row(0, named=True)) if len(frame) else None


def read_document(clean: Path, decision: DecisionRow) -> DocumentRow:
    """The document itself, kept or rejected, with its text and licence."""
    path = clean / decision["shard"]
    found = pl.scan_parquet(path).slice(decision["row"], 1).collect().row(0, named=True)
    return cast(DocumentRow, found)


def read_rewrites(rephrased: Path, column: str, doc_id: str) -> list[KeptOrNot]:
    """Rows of rewrites, kept and rejected, whose `column` is this id; a kept one has no reason."""
    rows: list[dict[str, object]] = []
    for name in ("kept", "rejects"):
        frame = pl.scan_parquet(rephrased / name / "*.parquet").filter(pl.col(column) == doc_id)
        rows += [{"reason": "", **row} for row in frame.collect().iter_rows(named=True)]
    return cast(list[KeptOrNot], rows)


def read_evidence(clean: Path, table: str, doc_id: str) -> list[dict[str, object]]:
    """What stands behind a verdict: a document's rows of `duplicates` or `overlaps`."""
    if not list((clean / table).glob("*.parquet")):
        return []
    frame = pl.scan_parquet(clean / table / "*.parquet").filter(doc_id=doc_id).collect()
    return list(frame.iter_rows(named=True))


def _gather(run: str, made: Sequence[Indexed]) -> Corpora | None:
    artifacts: dict[str, Artifact] = {}
    for entry in reversed(made):  # what a run made goes before what it was given
        given, out = entry.record.inputs.values(), entry.record.outputs.values()
        artifacts = {a.kind: a for a in given} | artifacts | {a.kind: a for a in out}
    if "clean_corpus" not in artifacts:
        return None
    stages = {entry.record.stage: entry for entry in reversed(made)}
    return Corpora(run, artifacts, stages)


def _scans(corpora: Corpora) -> Iterator[pl.LazyFrame]:
    yield pl.scan_parquet(corpora.folder("clean_corpus") / "decisions" / "*.parquet")
    if corpora.has("rephrased_corpus"):
        for name in ("kept", "rejects"):
            yield pl.scan_parquet(corpora.folder("rephrased_corpus") / name / "*.parquet")


def _starting_with(wanted: str, corpora: Corpora) -> list[tuple[str, str]]:
    starts = pl.col("doc_id").str.starts_with(wanted)
    frames = [scan.filter(starts).select(_COLUMNS).collect() for scan in _scans(corpora)]
    hits = pl.concat(frames).rows()
    exact = [hit for hit in hits if hit[0] == wanted]
    return exact or hits


def _unknown(wanted: str, candidates: Sequence[Corpora]) -> str:
    """What is near: documents whose path holds the words, and ids that differ in a digit or two."""
    newest = next((c for c in candidates if c.has("clean_corpus")), None)
    if newest is None:
        return f"the corpora of run {candidates[0].run} are not in this store: set K2_STORE"
    known = pl.concat([scan.select(_COLUMNS).collect() for scan in _scans(newest)])
    doc_id, path = pl.col("doc_id"), pl.col("path").str.to_lowercase()
    # One mistyped digit leaves the beginning or the end as it was.
    alike = known.filter(doc_id.str.starts_with(wanted[:3]) | doc_id.str.ends_with(wanted[-3:]))
    close = difflib.get_close_matches(wanted, alike["doc_id"].to_list(), _SHOWN, _NEAR)
    worded = path.str.contains(wanted.lower(), literal=True)
    rows = known.filter(worded | doc_id.is_in(close)).head(_SHOWN).rows()
    runs = f"run {newest.run}" if len(candidates) == 1 else f"{len(candidates)} runs"
    if not rows:
        example = known["doc_id"][0]
        return f"no document {wanted!r} in {runs}, nor one near it; ids are like {example}"
    near = ", ".join(f"{doc_id} ({path})" for doc_id, path in rows)
    return f"no document {wanted!r} in {runs}; near it are {near}"
